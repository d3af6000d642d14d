"""Bytes from one process to another through shared memory.

The memory holds data and nothing else: how much may be read, and how much room there is, is told
by two eventfds that carry numbers of bytes. So neither end trusts a counter that the other could
have left half-written when it was killed, and the kernel orders what was written before what is
read. A message longer than the ring goes through it in pieces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct

Wait = Callable[[int], None]  # returns when the eventfd can be read, or raises

_LENGTH = Struct("<Q")  # in front of every message
MAX_MESSAGE = 1 << 36  # bytes; more is no message but damage
_PIECES = 4  # the reader is told of a long message after each of so many parts of the ring


class Damaged(Exception):
    """What came cannot be: the other end was damaged by its own code."""


@dataclass(frozen=True, slots=True)
class Path:
    """One direction: the memory, and the eventfds. Both are non-blocking."""

    memory: memoryview
    filled: int  # bytes that were written
    freed: int  # bytes that were read


class Sending:
    """The end that writes. Called by one thread at a time."""

    def __init__(self, path: Path, wait: Wait) -> None:
        self._path = path
        self._wait = wait
        self._size = len(path.memory)
        self._piece = self._size // _PIECES
        self._room = self._size
        self._at = 0
        self._untold = 0

    def send(self, parts: Iterable[bytes | memoryview]) -> None:
        """Write one message. Waits for room; raises what `wait` raises."""
        views = [memoryview(part) for part in parts]
        self._put(memoryview(_LENGTH.pack(sum(map(len, views)))))
        for part in views:
            self._put(part)
        self._tell()

    def _put(self, data: memoryview) -> None:
        """data: of single bytes."""
        start, end = 0, len(data)
        while start < end:
            if not self._room:
                self._tell()
                self._room = _taken(self._path.freed, self._size, self._wait)
            count = min(end - start, self._room, self._size - self._at, self._piece)
            self._path.memory[self._at : self._at + count] = data[start : start + count]
            start += count
            self._at = (self._at + count) % self._size
            self._room -= count
            self._untold += count
            if self._untold >= self._piece:
                self._tell()

    def _tell(self) -> None:
        if self._untold:
            os.eventfd_write(self._path.filled, self._untold)
            self._untold = 0


class Receiving:
    """The end that reads. Called by one thread at a time."""

    def __init__(self, path: Path, wait: Wait) -> None:
        self._path = path
        self._wait = wait
        self._size = len(path.memory)
        self._filled = 0
        self._at = 0
        self._untold = 0

    def receive(self) -> bytearray:
        """The next message, in memory of its own. Waits for it; raises what `wait` raises.

        Raises Damaged if what comes is none.
        """
        length = bytearray(_LENGTH.size)
        self._take(memoryview(length))
        (size,) = _LENGTH.unpack(length)
        if size > MAX_MESSAGE:
            raise Damaged(f"a message of {size} bytes")
        message = bytearray(size)
        self._take(memoryview(message))
        self._tell()
        return message

    def _take(self, target: memoryview) -> None:
        start, end = 0, len(target)
        while start < end:
            if not self._filled:
                self._tell()
                self._filled = _taken(self._path.filled, self._size, self._wait)
            count = min(end - start, self._filled, self._size - self._at)
            target[start : start + count] = self._path.memory[self._at : self._at + count]
            start += count
            self._at = (self._at + count) % self._size
            self._filled -= count
            self._untold += count

    def _tell(self) -> None:
        if self._untold:
            os.eventfd_write(self._path.freed, self._untold)
            self._untold = 0


def _taken(eventfd: int, size: int, wait: Wait) -> int:
    """The number of bytes that the other end tells, at least one."""
    while True:
        try:
            count = os.eventfd_read(eventfd)
        except BlockingIOError:
            wait(eventfd)
            continue
        if count > size:
            raise Damaged(f"{count} bytes in a ring of {size}")
        return count
