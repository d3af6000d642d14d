"""The slots of one model, waiting for an instance to take them."""

from __future__ import annotations

import asyncio

from trivet.clock import Clock
from trivet.config import BatchPolicy
from trivet.errors import QueueFull
from trivet.scheduling.policy import Take, WaitUntil, plan
from trivet.scheduling.slot import Slot


class RequestQueue:
    """Bounded and in order of arrival; what leaves it, and when, is the policy's decision."""

    def __init__(self, model: str, policy: BatchPolicy, max_size: int, clock: Clock) -> None:
        """max_size: requests that may wait; 0 means any number."""
        self._model = model
        self._policy = policy
        self._max_size = max_size
        self._clock = clock
        self._slots: list[Slot] = []
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._slots)

    def put_nowait(self, slot: Slot) -> None:
        """Queue a request. Call from the event loop. Raises QueueFull instead of waiting."""
        if self._max_size and len(self._slots) >= self._max_size:
            raise QueueFull(self._model, self._max_size)
        self._slots.append(slot)
        self._arrived.set()

    def discard(self, slot: Slot) -> None:
        """Take a request out whose caller has left; nothing happens if it has been taken."""
        if slot in self._slots:
            self._slots.remove(slot)

    async def next_batch(self) -> list[Slot]:
        """Wait for the batch that the policy would send now, and take it."""
        while True:
            match plan(self._slots, self._clock.now_ns(), self._policy):
                case Take(positions):
                    return self._take(positions)
                case WaitUntil(when_ns):
                    await self._wait_arrived(when_ns)

    def _take(self, positions: tuple[int, ...]) -> list[Slot]:
        taken = [self._slots[position] for position in positions]
        for position in reversed(positions):
            del self._slots[position]
        return taken

    async def _wait_arrived(self, until_ns: int | None) -> None:
        self._arrived.clear()
        if until_ns is None:
            await self._arrived.wait()
            return
        arrived = asyncio.ensure_future(self._arrived.wait())
        due = asyncio.ensure_future(self._clock.sleep_until(until_ns))
        try:
            await asyncio.wait((arrived, due), return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()
            due.cancel()
