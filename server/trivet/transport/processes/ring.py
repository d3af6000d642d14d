"""Bytes from one process to another through shared memory, without ever waiting.

The memory holds data and nothing else: how much may be read, and how much room there is, is told
by two eventfds that carry numbers of bytes. So neither end trusts a counter that the other could
have left half-written when it was killed, and the kernel orders what was written before what is
read. The backends' ring (`trivet_backends.python.ring`) is made alike, but waits: it has a thread
of its own, and this one an event loop.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_TOLD_PARTS = 4  # the writer is told of room when so big a part of the ring was read


class Damaged(Exception):
    """What came cannot be: the other end was damaged by its own code."""


@dataclass(frozen=True, slots=True)
class Path:
    """One direction: the memory, and the eventfds, which are non-blocking."""

    memory: memoryview
    filled: int  # bytes that were written
    freed: int  # bytes that were read


class Writing:
    """The end that writes."""

    def __init__(self, path: Path) -> None:
        self._memory, self._filled, self.freed = path.memory, path.filled, path.freed
        self._size = self._room = len(path.memory)
        self._at = 0

    def write(self, data: bytes) -> int:
        """Write what there is room for, and say how many bytes. Raises Damaged.

        If that is not all, `freed` can be read once there is more room.
        """
        if len(data) > self._room:
            self._room += _count(self.freed, self._size - self._room)
        count = min(len(data), self._room)
        if not count:
            return 0
        view = memoryview(data)
        first = min(count, self._size - self._at)
        self._memory[self._at : self._at + first] = view[:first]
        if first < count:
            self._memory[: count - first] = view[first:count]
        self._at = (self._at + count) % self._size
        self._room -= count
        _tell(self._filled, count)
        return count


class Reading:
    """The end that reads; `filled` can be read when there is something."""

    def __init__(self, path: Path) -> None:
        self._memory, self.filled, self._freed = path.memory, path.filled, path.freed
        self._size = len(path.memory)
        self._at = 0
        self._untold = 0

    def read(self) -> bytes:
        """All that there is, maybe nothing. Raises Damaged."""
        count = _count(self.filled, self._size - self._untold)
        if not count:
            return b""
        at, end = self._at, self._at + count
        if end <= self._size:
            data = self._memory[at:end].tobytes()
        else:
            data = b"".join((self._memory[at:], self._memory[: end - self._size]))
        self._at = end % self._size
        self._untold += count
        # A writer who has filled the rest meanwhile is told when that is read.
        if self._untold >= self._size // _TOLD_PARTS:
            _tell(self._freed, self._untold)
            self._untold = 0
        return data


def _count(eventfd: int, most: int) -> int:
    """The number of bytes that the other end tells; 0 if it told none."""
    try:
        count = os.eventfd_read(eventfd)
    except BlockingIOError:
        return 0
    if count > most:
        raise Damaged(f"{count} bytes in a ring where {most} can be")
    return count


def _tell(eventfd: int, count: int) -> None:
    try:
        os.eventfd_write(eventfd, count)
    except BlockingIOError:  # the counter is full, as no ring can make it
        raise Damaged("a counter of more bytes than a ring has") from None
