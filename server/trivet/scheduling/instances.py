"""The instances of one model: who holds which post, and what happens when one dies.

A scheduler has one driver per post, which runs batches on whatever instance holds it. Death is
told by InstanceDied: a backend raises it, or somebody who knows (a watchdog) gives it to the
instance's executor (`Executor.abandon`). The driver then calls `Instances.replace` and goes on.
Touched from the event loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from trivet.backend.contract import Instance
from trivet.clock import Clock
from trivet.errors import InstanceDied, ServeError, Unavailable
from trivet.scheduling.executor import Executor
from trivet.scheduling.queue import RequestQueue
from trivet.scheduling.resources import Permit, permitted
from trivet.scheduling.slot import Slot
from trivet.scheduling.supervision import Condition, Vacancy, condition_of, pause_ns

log = logging.getLogger(__name__)

Make = Callable[[int], Awaitable[tuple[Instance, Executor]]]  # by number; warm, in its own thread

# Seconds that the threads of dead instances may take to end when a model is closed.
END_S = 1.0


class Post:
    """One of a model's instances, whichever copy it is just now."""

    def __init__(
        self, number: int, instance: Instance, executor: Executor, permit: Permit | None = None
    ) -> None:
        """permit: what its batches wait for, whoever holds the post."""
        self.number = number
        self.permit = permit
        self.instance = instance
        self.executor = executor
        self.vacancy: Vacancy | None = None
        self._failures = 0  # deaths and attempts in a row
        self._began_ns: int | None = None  # of the batch at hand
        self._busy_ns = 0

    async def next_batch(self, queue: RequestQueue) -> list[Slot]:
        """Take a batch when one is due and the instance may run. Call `release` when it has run."""
        if self.permit is None:
            return await queue.next_batch()
        return await permitted(self.permit, queue.wait_due, queue.take_due)

    def begin(self, now_ns: int) -> None:
        """The instance has a batch from now on."""
        self._began_ns = now_ns

    def busy_ns(self, now_ns: int) -> int:
        """How long it had batches, the one at hand included."""
        return self._busy_ns + (0 if self._began_ns is None else now_ns - self._began_ns)

    def release(self, now_ns: int) -> None:
        """The batch was answered, one way or the other."""
        self._busy_ns, self._began_ns = self.busy_ns(now_ns), None
        if self.permit is not None:
            self.permit.release()

    @property
    def pause_ns(self) -> int:
        """How long to wait before the next attempt to fill the post."""
        return pause_ns(self._failures)

    def has_answered(self) -> None:
        """The instance is of use: if it dies later, it is replaced at once."""
        self._failures = 0

    def died(self, error: InstanceDied) -> None:
        self.vacancy = Vacancy(error.message)

    def tried(self) -> None:
        self._failures += 1

    def not_filled(self, reason: str) -> None:
        assert self.vacancy is not None
        attempts = self.vacancy.attempts + 1
        self.vacancy = replace(self.vacancy, attempts=attempts, failed=reason)

    def filled(self, instance: Instance, executor: Executor) -> None:
        self.instance, self.executor, self.vacancy = instance, executor, None


class Instances:
    """All posts of one version of a model."""

    def __init__(
        self,
        model: str,
        version: int,
        clock: Clock,
        pairs: Sequence[tuple[Instance, Executor]],
        make: Make,
        permits: Sequence[Permit | None] = (),
    ) -> None:
        """make: one more instance, ready to be used; raises what the engine raises.

        permits: of each instance; without any they run whenever they can.
        """
        self._model = model
        self._version = version
        self._clock = clock
        self._make = make
        given = permits or [None] * len(pairs)
        self.posts = tuple(
            Post(number, instance, executor, permit)
            for number, ((instance, executor), permit) in enumerate(zip(pairs, given, strict=True))
        )
        self._retired: list[Executor] = []
        self._condition = Condition()
        self._changed = asyncio.Event()

    @property
    def condition(self) -> Condition:
        """How the instances are now."""
        return self._condition

    @property
    def changed(self) -> asyncio.Event:
        """Set when the condition changes next; there is a new one for each change."""
        return self._changed

    def check(self) -> None:
        """Raises Unavailable if no instance is left and attempts to replace them keep failing."""
        if not self._condition.able:
            raise self._unavailable()

    async def replace(
        self, post: Post, died: InstanceDied, refuse: Callable[[Unavailable], None]
    ) -> None:
        """Make a new instance for the post; return when it is there.

        refuse: called after each attempt that failed while there is no instance left to wait for;
        what waits for one is to be answered with the error.
        """
        self._take_out(post, died)
        while post.vacancy is not None:
            await self._clock.sleep_until(self._clock.now_ns() + post.pause_ns)
            post.tried()
            try:
                post.filled(*await self._make(post.number))
            except Exception as error:  # whatever an engine raises: the next attempt may succeed
                self._not_replaced(post, error)
                if not self._condition.able:
                    refuse(self._unavailable())
        self._announce()
        log.warning("instance_replaced", extra=self._extra(post))

    async def close(self) -> None:
        """Close the instances that live, and see the threads of the others end."""
        for post in self.posts:
            if post.vacancy is None:
                await self._close(post)
        for executor in self._retired:
            await executor.close(END_S)
        for post in self.posts:
            if post.permit is not None:
                post.permit.leave()

    async def _close(self, post: Post) -> None:
        if post.executor.is_abandoned:  # it died since its last batch
            post.executor.retire(post.instance.close)
            await post.executor.close(END_S)
            return
        try:
            await post.executor.run(post.instance.close)
        except Exception as error:  # the others are to be closed all the same
            log.error("instance_not_closed", exc_info=error, extra=self._extra(post))
        await post.executor.close()

    def _take_out(self, post: Post, died: InstanceDied) -> None:
        log.error("instance_died", extra=self._extra(post, reason=died.message))
        post.died(died)
        post.executor.retire(post.instance.close)
        self._retired = [executor for executor in self._retired if executor.is_running]
        self._retired.append(post.executor)
        self._announce()

    def _not_replaced(self, post: Post, error: Exception) -> None:
        known = isinstance(error, ServeError)
        post.not_filled(str(error) if known else f"{type(error).__name__}: {error}")
        unexpected = None if known else error
        extra = self._extra(post, reason=str(error))
        log.error("instance_not_replaced", exc_info=unexpected, extra=extra)
        self._announce()

    def _announce(self) -> None:
        vacancies = [post.vacancy for post in self.posts if post.vacancy is not None]
        self._condition = condition_of(len(self.posts), vacancies)
        self._changed.set()
        self._changed = asyncio.Event()

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"model '{self._model}': {self._condition.reason}; retry later")

    def _extra(self, post: Post, **more: str) -> dict[str, object]:
        return {"model": self._model, "version": self._version, "instance": post.number, **more}
