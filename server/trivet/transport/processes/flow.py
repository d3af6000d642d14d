"""Messages of one call: put together from pieces, waiting to be taken, and how many may follow.

A stream's sender stops at a window of bytes and goes on as its reader uses them up, so that who
does not read holds back nobody but who sends to him.
"""

from __future__ import annotations

import asyncio
from collections import deque

from trivet.errors import ServeError
from trivet.frontend.method import Accompanied
from trivet.transport.processes.ring import Damaged

WINDOW = 256 << 10
_APIECE = 4 << 10  # what a message counts beside its bytes: at most 64 of them wait


def cost_of(message: bytes) -> int:
    """What it takes of a window: what goes beside it, too, as a part of it or no more."""
    beside_bytes = message.beside_bytes if isinstance(message, Accompanied) else 0
    return _APIECE + len(message) + beside_bytes


class Window:
    """The sender's end. A message may go while it is open, whatever its size."""

    __slots__ = ("_under_way", "_waiting")

    def __init__(self) -> None:
        self._under_way = 0
        self._waiting: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._under_way < WINDOW

    def sent(self, message: bytes) -> None:
        self._under_way += cost_of(message)

    def taken(self, cost: int) -> None:
        """The reader has used up so much. Raises Damaged for more than was sent."""
        self._under_way -= cost
        if self._under_way < 0:
            raise Damaged(f"{-self._under_way} bytes more were taken than sent")
        if self._waiting is not None and not self._waiting.done() and self.is_open:
            self._waiting.set_result(None)

    async def opened(self) -> None:
        """Wait until a message may be sent. One at a time waits."""
        while not self.is_open:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting


class Inbox:
    """The reader's end: messages in their order, and how they ended."""

    __slots__ = ("_end", "_messages", "_unread", "_untold", "_waiting")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._end: ServeError | bool = False
        self._unread = 0
        self._untold = 0
        self._waiting: asyncio.Future[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its end has come; messages before it may be unread."""
        return self._end is not False

    def put(self, message: bytes) -> None:
        """Raises Damaged if nobody may have sent it yet."""
        if self._unread + self._untold >= WINDOW:
            raise Damaged(f"a message beyond a window of {WINDOW} bytes")
        self._messages.append(message)
        self._unread += cost_of(message)
        self._wake()

    def end(self, failure: ServeError | None = None) -> None:
        """No more will come: of itself, or for a failure. The first end counts."""
        if not self.has_ended:
            self._end = failure or True
            self._wake()

    async def next(self) -> bytes | None:
        """The next message; None when there are no more. Raises the failure that ended them."""
        while not self._messages:
            if isinstance(self._end, ServeError):
                raise self._end
            if self._end:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._messages.popleft()

    def used(self, message: bytes) -> int:
        """The last message is used up. Gives what to tell the sender of now; mostly nothing."""
        self._unread -= cost_of(message)
        self._untold += cost_of(message)
        if self._untold < WINDOW // 2:
            return 0
        told, self._untold = self._untold, 0
        return told

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Pieces:
    """A long message, of which the first piece has come."""

    __slots__ = ("_have", "_pieces", "_size")

    def __init__(self, size: int, first: bytes) -> None:
        self._size = size
        self._pieces = [first]
        self._have = len(first)

    def add(self, piece: bytes) -> bytes | None:
        """The message if that was the last of it. Raises Damaged for more than belongs to it."""
        self._pieces.append(piece)
        self._have += len(piece)
        if self._have > self._size or not piece:
            raise Damaged(f"{self._have} bytes of a message of {self._size}")
        return b"".join(self._pieces) if self._have == self._size else None
