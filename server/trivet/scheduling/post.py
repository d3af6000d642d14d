"""One of a model's instances, whichever copy it is just now, and what it is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

from trivet.backend.contract import Instance, ProcessInstance
from trivet.errors import InstanceDied
from trivet.scheduling.executor import Executor
from trivet.scheduling.queue import RequestQueue
from trivet.scheduling.resources import Permit, permitted
from trivet.scheduling.slot import Slot
from trivet.scheduling.supervision import Vacancy, pause_ns

P = ParamSpec("P")
T = TypeVar("T")

Since = Callable[[], int | None]


class Post:
    """A place for an instance. Touched from the event loop only."""

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
        self._since: Since | None = None  # of the execution at hand
        self._idle: asyncio.Task[Any] | None = None  # the driver, while it waits for a batch
        self._found_dead: InstanceDied | None = None
        self._watched_fd: int | None = None  # of its process
        self._watch_process()

    async def next_batch(self, queue: RequestQueue) -> list[Slot]:
        """Take a batch when one is due and the instance may run. Call `release` when it has run.

        Raises InstanceDied as soon as the instance is found dead.
        """
        if self.permit is None:
            return await self.idle(queue.next_batch)
        return await self.idle(partial(permitted, self.permit, queue.wait_due, queue.take_due))

    async def idle(self, wait: Callable[[], Awaitable[T]]) -> T:
        """Wait for something to run. Raises InstanceDied as soon as the instance is found dead."""
        self._check_alive()  # it may have died between its last answer and now
        driver = self._idle = asyncio.current_task()
        assert driver is not None
        try:
            return await wait()
        except asyncio.CancelledError:
            if driver.uncancel() == 0:  # else the scheduler is being closed
                self._check_alive()
            raise
        finally:
            self._idle = None

    def _check_alive(self) -> None:
        """Raises InstanceDied if it was found dead."""
        if self._found_dead is not None:
            raise self._found_dead

    async def run(
        self, since: Since, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call in the instance's thread. Raises InstanceDied if the instance was given up.

        since: when what it computes just now began; None while it waits for a caller.
        """
        self._since = since
        try:
            return await self.executor.run(function, *args, **kwargs)
        finally:
            self._since = None

    @property
    def since_ns(self) -> int | None:
        """When what it computes just now began; None if it computes nothing."""
        return None if self._since is None or self.executor.is_abandoned else self._since()

    def give_up(self, died: InstanceDied) -> None:
        """Take it for hung: tell who waits for it, and end its process, should it have one."""
        self.executor.abandon(died)
        if isinstance(self.instance, ProcessInstance):
            self.instance.end(died.message)

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
        self.leave_process()
        self.vacancy = Vacancy(error.message)

    def tried(self) -> None:
        self._failures += 1

    def not_filled(self, reason: str) -> None:
        assert self.vacancy is not None
        attempts = self.vacancy.attempts + 1
        self.vacancy = replace(self.vacancy, attempts=attempts, failed=reason)

    def filled(self, instance: Instance, executor: Executor) -> None:
        self.instance, self.executor, self.vacancy = instance, executor, None
        self._watch_process()

    def leave_process(self) -> None:
        """Watch its process no more; call before the instance is closed."""
        self._found_dead = None
        if self._watched_fd is not None:
            asyncio.get_running_loop().remove_reader(self._watched_fd)
            self._watched_fd = None

    def _watch_process(self) -> None:
        if isinstance(self.instance, ProcessInstance):
            self._watched_fd = self.instance.ended_fd
            asyncio.get_running_loop().add_reader(self._watched_fd, self._on_end_of_process)

    def _on_end_of_process(self) -> None:
        """Its process ended. One that runs a batch finds out by itself; an idle one is told."""
        instance = self.instance
        assert isinstance(instance, ProcessInstance)
        self.leave_process()
        self._found_dead = InstanceDied(f"its process {instance.how_it_ended()}", idle=True)
        if self._idle is not None:
            self._idle.cancel()
