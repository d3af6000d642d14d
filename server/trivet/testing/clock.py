"""A clock that moves only when told to."""

from __future__ import annotations

import asyncio

# Loop turns granted after each move, so that what was woken runs until it waits again. A wake-up
# passes through at most: sleeper's future -> its task -> asyncio.wait -> the queue -> the driver.
SETTLING_TURNS = 20


class ManualClock:
    """Implements `trivet.clock.Clock` for tests."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, when_ns: int) -> None:
        if when_ns <= self._now_ns:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((when_ns, woken))
        await woken

    async def advance(self, *, us: int = 0) -> None:
        """Move time on, wake who is due, and let everyone run until they wait again."""
        self._now_ns += us * 1_000
        for when_ns, woken in self._sleepers:
            if when_ns <= self._now_ns and not woken.done():
                woken.set_result(None)
        self._sleepers = [(when, woken) for when, woken in self._sleepers if not woken.done()]
        await settle()


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(SETTLING_TURNS):
        await asyncio.sleep(0)
