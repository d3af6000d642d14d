"""Time, handed in: logic that asks the system for the time cannot be tested without sleeping."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic time in nanoseconds, and waiting for it."""

    def now_ns(self) -> int:
        """Now, in nanoseconds since an arbitrary start; never goes back."""

    async def sleep_until(self, when_ns: int) -> None:
        """Return when `now_ns()` has reached `when_ns`."""


class SystemClock:
    """The real clock."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep_until(self, when_ns: int) -> None:
        while (left_ns := when_ns - time.monotonic_ns()) > 0:
            await asyncio.sleep(left_ns / 1e9)
