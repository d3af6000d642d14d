"""Engines that take too long: how long is too long, and one call that may take no longer.

What runs in an instance's thread cannot be ended from outside. The thread is given up
(`Executor.abandon`): whoever waits for it is told, and the thread is left to itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from trivet.clock import Clock
from trivet.errors import EngineFailed, InstanceDied
from trivet.scheduling.executor import Executor

P = ParamSpec("P")
T = TypeVar("T")

# Threads of one model that may hang at a time. Each may keep a core busy for ever, which its
# neighbours lack: after so many nothing is made for the model any more that could hang, too.
MOST_HUNG = 4


class TookTooLong(InstanceDied):
    """An instance hangs, as far as anybody can tell, and was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """Seconds after which an engine counts as hanging; 0: never.

    execution_s: of one execution, or up to a decoupled model's next answer. load_s: of opening an
    artifact, and of making and warming up an instance.
    """

    execution_s: float = 0.0
    load_s: float = 0.0


async def within(
    limit_s: float,
    clock: Clock,
    executor: Executor,
    what: str,
    function: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Call in the executor's thread, which is given up if it takes longer.

    what: names the call in the error. Raises TookTooLong, and what the call raises.
    """
    if not limit_s:
        return await executor.run(function, *args, **kwargs)
    died = TookTooLong(f"{what} took longer than {limit_s:g} s")
    watching = asyncio.create_task(_abandon_after(int(limit_s * 1e9), clock, executor, died))
    try:
        return await executor.run(function, *args, **kwargs)
    finally:
        watching.cancel()


async def _abandon_after(
    limit_ns: int, clock: Clock, executor: Executor, died: InstanceDied
) -> None:
    while True:
        due_ns = clock.now_ns() + limit_ns
        await clock.sleep_until(due_ns)
        if not stood_still(due_ns, clock.now_ns(), limit_ns):
            executor.abandon(died)
            return


class HungThreads:
    """Threads that were given up and still run, of all models of a server.

    They count on when their model is loaded again. Touched from the event loop only.
    """

    def __init__(self) -> None:
        self._left: dict[str, list[Executor]] = {}

    def add(self, model: str, executor: Executor) -> None:
        """This one was given up."""
        self._left.setdefault(model, []).append(executor)

    def of(self, model: str) -> int:
        """How many there are now; one that came back after all counts no more."""
        running = [executor for executor in self._left.pop(model, ()) if executor.is_running]
        if running:
            self._left[model] = running
        return len(running)

    def check(self, model: str) -> None:
        """Raises EngineFailed if there are too many to begin anything new for the model."""
        if (count := self.of(model)) >= MOST_HUNG:
            raise EngineFailed(
                f"{count} threads hang in the engine and cannot be ended; mend the model, and"
                " restart the server"
            )


def is_overdue(since_ns: int | None, now_ns: int, limit_ns: int) -> bool:
    """since_ns: when what runs began; None: nothing does. Pure."""
    return since_ns is not None and now_ns - since_ns >= limit_ns


def next_look_ns(began: Sequence[int | None], now_ns: int, limit_ns: int) -> int:
    """When the first can be overdue of those that run, or may begin from now on. Pure."""
    return min((since for since in began if since is not None), default=now_ns) + limit_ns


def stood_still(due_ns: int, now_ns: int, limit_ns: int) -> bool:
    """Whether this process, and not an engine, was held up: it wakes up much later than it asked
    for. A machine that was suspended must not take its engines for hung. Pure.
    """
    return now_ns - due_ns > limit_ns // 2
