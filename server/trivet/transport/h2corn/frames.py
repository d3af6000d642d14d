"""Messages in a body's bytes: each has a prefix of a flag and its length.

Where one chunk of a body ends says nothing about where a message does.
"""

from __future__ import annotations

import struct

from trivet.errors import ResourceExhausted, ServeError

PREFIX_BYTES = 5  # flag (1 if compressed), length in 4 bytes, most significant first

_prefix_of = struct.Struct(">BI").unpack_from
_prefix = struct.Struct(">BI").pack


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """A message as it is sent."""
    return _prefix(compressed, len(message)) + message


class Frames:
    """Puts messages together; holds no more than what was fed and not yet taken."""

    __slots__ = ("_at", "_chunks", "_data", "_limit", "_unread")

    def __init__(self, limit: int) -> None:
        """limit: bytes of the largest message taken, as sent."""
        self._limit = limit
        self._data = b""  # what is read from, from _at on
        self._at = 0
        self._chunks: list[bytes] = []  # what follows it
        self._unread = 0

    @property
    def unread(self) -> int:
        """Bytes fed and not yet taken."""
        return self._unread

    def feed(self, chunk: bytes) -> None:
        """Add what came."""
        if self._unread:
            self._chunks.append(chunk)
        else:
            self._data, self._at = chunk, 0
        self._unread += len(chunk)

    def take(self) -> tuple[int, bytes] | None:
        """The next message and its flag; None until more of it has come.

        Raises ResourceExhausted for one over the limit as soon as its length is known.
        """
        if self._unread < PREFIX_BYTES:
            return None
        if len(self._data) - self._at < PREFIX_BYTES:
            self._join()
        flag, size = _prefix_of(self._data, self._at)
        if size > self._limit:
            raise ResourceExhausted(
                f"SERVER: Received message larger than max ({size} vs. {self._limit})"
            )
        whole = PREFIX_BYTES + size
        if self._unread < whole:
            return None
        if len(self._data) - self._at < whole:
            self._join()
        start, self._at = self._at + PREFIX_BYTES, self._at + whole
        message = self._data[start : self._at]
        self._unread -= whole
        if not self._unread:
            self._data, self._at = b"", 0
        return flag, message

    def check_ended(self) -> None:
        """Call when nothing follows. Raises ServeError if that was in the midst of a message."""
        if self._unread:
            raise ServeError(f"the request ended {self._unread} bytes into a message")

    def _join(self) -> None:
        self._data, self._at = b"".join((self._data[self._at :], *self._chunks)), 0
        self._chunks.clear()
