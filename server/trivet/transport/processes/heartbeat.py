"""Whether a front-end process still answers. One that hangs keeps its connections and its callers,
and nothing else would tell: it has not ended, and new callers may come to it by chance.
"""

from __future__ import annotations

from collections.abc import Callable

from trivet.clock import Clock
from trivet.scheduling.watchdog import stood_still

# A process only passes bytes on, so its loop comes round within milliseconds. Three questions, so
# that one long moment of a busy machine costs nobody his connection.
EVERY_S = 5  # from one question to the next
MOST_MISSED = 3  # in a row, and it hangs
SILENT_S = EVERY_S * MOST_MISSED
_EVERY_NS = EVERY_S * 1_000_000_000


class Heartbeat:
    """Asks one process again and again."""

    def __init__(self, clock: Clock, ask: Callable[[], None]) -> None:
        """ask: sends the question; the answer is told to `answered`."""
        self._clock = clock
        self._ask = ask
        self._has_answered = True

    def answered(self) -> None:
        self._has_answered = True

    async def stops(self) -> None:
        """Return when it has not answered for SILENT_S seconds."""
        missed = 0
        while missed < MOST_MISSED:
            if self._has_answered:  # else it is asked already, and would only find more of it
                self._has_answered = False
                self._ask()
            due_ns = self._clock.now_ns() + _EVERY_NS
            await self._clock.sleep_until(due_ns)
            if self._has_answered:
                missed = 0
            elif not stood_still(due_ns, self._clock.now_ns(), _EVERY_NS):
                missed += 1
