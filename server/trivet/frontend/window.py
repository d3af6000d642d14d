"""How many messages of one stream are under way: so many that their answers fit into memory.

A caller may send and never read. What is made for it then waits in the server, and only the sizes
of the answers before tell how much that will be.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

ANSWER_BYTES = 64 << 20  # of all answers of a stream that wait to be written
ALL_ANSWER_BYTES = 256 << 20  # of those of all streams together
UNKNOWN = 64  # messages under way while no answer has told its size


def width(limit: int, largest: int | None) -> int:
    """How many may be under way, 1 at least.

    limit: at most. largest: bytes of the largest answer so far; None: there was none yet.
    """
    if largest is None:
        return min(limit, UNKNOWN)
    return max(1, min(limit, ANSWER_BYTES // max(1, largest)))


@dataclass(slots=True)
class Unread:
    """What is ready and not yet written, of all streams that share it."""

    size: int = 0  # bytes
    held_back: set[Window] = field(default_factory=set)  # a message waits for its place in each

    @property
    def is_too_much(self) -> bool:
        return self.size > ALL_ANSWER_BYTES

    def hold(self, size: int) -> None:
        """So many bytes more. Who waits looks again as soon as it is no longer too much."""
        was_too_much = self.is_too_much
        self.size += size
        if was_too_much and not self.is_too_much:
            for window in self.held_back:
                window.look_again()


class Window:
    """Lets messages in one after another. For one reader; touched from the event loop only."""

    def __init__(self, limit: int, unread: Unread | None = None) -> None:
        """limit: messages under way, whatever their size.

        unread: of all streams. Where that is too much, each has one message under way, so that
        those who read still get on.
        """
        self._limit = limit
        self._all = unread or Unread()
        self._unread = 0
        self._largest: int | None = None
        self._width = width(limit, None)
        self._under_way = 0
        self._moved = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether the next message has to wait."""
        return self._under_way >= (1 if self._all.is_too_much else self._width)

    async def enter(self) -> None:
        """Wait for a place, and take it."""
        while self.is_full:
            self._moved.clear()
            self._all.held_back.add(self)
            try:
                await self._moved.wait()
            finally:
                self._all.held_back.discard(self)
        self._under_way += 1

    def leave(self, size: int = 0) -> None:
        """A message is answered, and its answer of so many bytes written."""
        self._under_way -= 1
        self._hold(-size)
        self.look_again()

    def made(self, size: int) -> None:
        """An answer of so many bytes is ready to be written."""
        self._hold(size)
        if self._largest is None or size > self._largest:
            self._largest = size
            self._width = width(self._limit, size)
            self.look_again()

    def look_again(self) -> None:
        """Whoever waits for a place may find one now."""
        self._moved.set()

    def close(self) -> None:
        """The stream is over; what was not written is gone."""
        self._hold(-self._unread)

    def _hold(self, size: int) -> None:
        self._unread += size
        self._all.hold(size)
