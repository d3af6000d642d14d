"""One alarm for everything a queue waits for: a delay that is over, a timeout that expires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trivet.clock import Clock


class Alarm:
    """Rings at the earliest time it was set to, then forgets it; no task while it is not set."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        """ring: called from the event loop; may set the alarm again."""
        self._clock = clock
        self._ring = ring
        self._when_ns = 0
        self._task: asyncio.Task[None] | None = None

    def set(self, when_ns: int) -> None:
        """Ring at this time at the latest. An earlier setting stays: who is woken looks again."""
        if self._task is not None:
            if self._when_ns <= when_ns:
                return
            self._task.cancel()
        self._when_ns = when_ns
        self._task = asyncio.create_task(self._sleep(when_ns))

    def clear(self) -> None:
        """Do not ring any more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _sleep(self, when_ns: int) -> None:
        await self._clock.sleep_until(when_ns)
        self._task = None
        self._ring()
