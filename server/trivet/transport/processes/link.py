"""Both directions between two processes, on the event loop of one of them.

What is sent within one turn of the loop leaves together, with one wake-up of the other end. When
the ring is full, frames wait here, and who has more to send waits for room; nobody else does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from trivet.transport.processes import frames
from trivet.transport.processes.frames import HEAD, MAX_BODY_BYTES, PIECE_BYTES
from trivet.transport.processes.ring import Damaged, Reading, Writing

RING_BYTES = 512 << 10  # of each direction
_FULL_BYTES = 512 << 10  # of frames that wait for the ring

OnFrame = Callable[[int, int, bytes, int, int], None]  # kind, number, data and where the body is


class Link:
    """One end. Used from its loop only."""

    def __init__(
        self,
        writing: Writing,
        reading: Reading,
        on_frame: OnFrame,
        on_damaged: Callable[[Damaged], None],
    ) -> None:
        """on_frame: may raise Damaged. on_damaged: nothing more is read then."""
        self._writing, self._reading = writing, reading
        self._on_frame, self._on_damaged = on_frame, on_damaged
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._flushing = False  # it will be done: soon, or when there is room
        self._is_blocked = False  # there is no room
        self._unread = b""  # a frame of which the rest is still to come
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_open = True
        self._loop.add_reader(reading.filled, self.read)

    @property
    def is_full(self) -> bool:
        """Whether who has long messages to send should wait for room."""
        return self._unsent_bytes > _FULL_BYTES

    def send(self, *parts: bytes) -> None:
        """Send a frame, or several, as soon as there is room. Nothing once it is closed."""
        self._unsent += parts
        self._unsent_bytes += sum(map(len, parts))
        if not self._flushing and self._is_open:
            self._flushing = True
            self._loop.call_soon(self.flush)

    async def send_message(self, number: int, head: bytes, message: bytes) -> None:
        """Send a frame that ends with a message, which may be long. Waits while it is full.

        Of several who wait each sends a piece in turn.
        """
        if self._waiting or self.is_full:  # asked here, too: this is what every call does
            await self.room()
        if len(message) <= PIECE_BYTES:
            self.send(head, message)
            return
        self.send(head, message[:PIECE_BYTES])
        for at in range(PIECE_BYTES, len(message), PIECE_BYTES):
            await self.room()
            piece = message[at : at + PIECE_BYTES]
            self.send(frames.piece(number, len(piece)), piece)

    async def room(self) -> None:
        """Wait until it is not full, in turn."""
        must_wait = self.is_full or bool(self._waiting)
        while must_wait:
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting
            must_wait = self.is_full

    def close(self) -> None:
        """Neither read nor write any more; the memory may go."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._reading.filled)
            self._loop.remove_reader(self._writing.freed)
            self._unsent.clear()

    def flush(self) -> None:
        """Put into the ring now what there is room for."""
        if not self._is_open:
            return
        data = b"".join(self._unsent)
        try:
            count = self._writing.write(data)
        except Damaged as damaged:
            self._damaged(damaged)
            return
        if count == len(data):
            self._flushing = False
            self._unsent.clear()
            self._unsent_bytes = 0
            if self._is_blocked:
                self._is_blocked = False
                self._loop.remove_reader(self._writing.freed)
        else:
            self._unsent = [data[count:]]
            self._unsent_bytes = len(data) - count
            if not self._is_blocked:
                self._is_blocked = self._flushing = True
                self._loop.add_reader(self._writing.freed, self.flush)
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        """Let in the next who waits. He sends a piece, and has to wait behind the others then."""
        while self._waiting and not self.is_full:
            waiting = self._waiting.popleft()
            if not waiting.done():  # else he has left
                waiting.set_result(None)
                break
        if self._waiting and not self.is_full:
            self._loop.call_soon(self._wake)

    def read(self) -> None:
        """Take what there is; the loop does it whenever something comes."""
        if not self._is_open:
            return
        try:
            self._take(self._unread + self._reading.read())
        except Damaged as damaged:
            self._damaged(damaged)

    def _take(self, data: bytes) -> None:
        at, end = 0, len(data)
        while end - at >= HEAD.size:
            length, kind, number = HEAD.unpack_from(data, at)
            if length > MAX_BODY_BYTES:
                raise Damaged(f"a frame of {length} bytes")
            body = at + HEAD.size
            if body + length > end:
                break
            at = body + length
            self._on_frame(kind, number, data, body, at)
        self._unread = data[at:]

    def _damaged(self, damaged: Damaged) -> None:
        self.close()
        self._on_damaged(damaged)
