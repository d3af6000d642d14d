"""The instances of one model: who holds which post, and what happens when one dies.

A scheduler has one driver per post, which runs batches on whatever instance holds it. Death is
told by InstanceDied: a backend raises it, the end of an idle instance's process is seen, or the
watchdog here gives up one that takes too long. The driver then calls `Instances.replace` and goes
on. Touched from the event loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

from trivet.backend.contract import Instance
from trivet.clock import Clock
from trivet.errors import InstanceDied, ServeError, Unavailable
from trivet.scheduling.executor import Executor
from trivet.scheduling.post import Post
from trivet.scheduling.resources import Permit
from trivet.scheduling.supervision import Condition, condition_of
from trivet.scheduling.watchdog import (
    HungThreads,
    TimeLimits,
    TookTooLong,
    is_overdue,
    next_look_ns,
    stood_still,
    within,
)

log = logging.getLogger(__name__)

Make = Callable[[int], Awaitable[tuple[Instance, Executor]]]  # by number; warm, in its own thread

# Seconds that the threads of dead instances may take to end when a model is closed.
END_S = 1.0


class Death(StrEnum):
    """How an instance ended before its time."""

    DIED = "died"  # its process ended, its device was lost
    HUNG = "hung"  # it took too long and was given up


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
        limits: TimeLimits | None = None,
        hung: HungThreads | None = None,
    ) -> None:
        """make: one more instance, ready to be used; raises what the engine raises.

        permits: of each instance; without any they run whenever they can. limits: None: an
        execution may take as long as it likes. hung: the server's account of hung threads.
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
        self._limits = limits or TimeLimits()
        self._hung = hung or HungThreads()
        self._hung_before = 0  # as the condition tells of them
        self._retired: list[Executor] = []
        self.deaths = dict.fromkeys(Death, 0)
        self._condition = Condition()
        self._changed = asyncio.Event()
        self._watching = asyncio.create_task(self._watch()) if self._limits.execution_s else None

    @property
    def condition(self) -> Condition:
        """How the instances are now."""
        return self._condition

    @property
    def changed(self) -> asyncio.Event:
        """Set when the condition changes next; there is a new one for each change."""
        return self._changed

    @property
    def hung_threads(self) -> int:
        """Threads of the model that were given up and still run, those of earlier loads, too."""
        return self._hung.of(self._model)

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
                self._hung.check(self._model)
                post.filled(*await self._make(post.number))
            except Exception as error:  # whatever an engine raises: the next attempt may succeed
                self._not_replaced(post, error)
                if not self._condition.able:
                    refuse(self._unavailable())
        self._announce()
        log.warning("instance_replaced", extra=self._extra(post))

    async def close(self) -> None:
        """Close the instances that live, and see the threads of the others end."""
        if self._watching is not None:
            self._watching.cancel()
        for post in self.posts:
            if post.vacancy is None:
                await self._close(post)
        for executor in self._retired:
            await executor.close(END_S)
        for post in self.posts:
            if post.permit is not None:
                post.permit.leave()

    async def _close(self, post: Post) -> None:
        post.leave_process()
        executor, close = post.executor, post.instance.close
        if executor.is_abandoned:  # it died since its last batch
            executor.retire(close)
            await executor.close(END_S)
            return
        timeout_s = None
        try:
            await within(self._limits.execution_s, self._clock, executor, "closing it", close)
        except Exception as error:  # the others are to be closed all the same
            log.error("instance_not_closed", exc_info=error, extra=self._extra(post))
            if isinstance(error, TookTooLong):
                self._hung.add(self._model, executor)
                timeout_s = END_S
        await executor.close(timeout_s)

    async def _watch(self) -> None:
        """Give up instances whose executions take too long, until cancelled.

        It looks when the first could be overdue, so that an execution costs it nothing.
        """
        limit_s, limit_ns = self._limits.execution_s, int(self._limits.execution_s * 1e9)
        due_ns = self._clock.now_ns() + limit_ns
        while True:
            await self._clock.sleep_until(due_ns)
            now_ns = self._clock.now_ns()
            if stood_still(due_ns, now_ns, limit_ns):
                due_ns = now_ns + limit_ns
                continue
            for post in self.posts:
                if is_overdue(post.since_ns, now_ns, limit_ns):
                    post.give_up(TookTooLong(f"an execution took longer than {limit_s:g} s"))
            if self.hung_threads < self._hung_before:  # one came back after all
                self._announce()
            due_ns = next_look_ns([post.since_ns for post in self.posts], now_ns, limit_ns)

    def _take_out(self, post: Post, died: InstanceDied) -> None:
        hung = post.executor.is_abandoned
        log.error("instance_died", extra=self._extra(post, reason=died.message))
        self.deaths[Death.HUNG if hung else Death.DIED] += 1
        post.died(died)
        post.executor.retire(post.instance.close)
        self._retired = [executor for executor in self._retired if executor.is_running]
        self._retired.append(post.executor)
        if hung:
            self._hung.add(self._model, post.executor)
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
        self._hung_before = self.hung_threads
        self._condition = condition_of(len(self.posts), vacancies, self._hung_before)
        self._changed.set()
        self._changed = asyncio.Event()

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"model '{self._model}': {self._condition.reason}; retry later")

    def _extra(self, post: Post, **more: str) -> dict[str, object]:
        return {"model": self._model, "version": self._version, "instance": post.number, **more}
