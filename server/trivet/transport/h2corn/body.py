"""The messages of one call, as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from trivet.errors import ServeError
from trivet.transport.h2corn.compression import decompressed
from trivet.transport.h2corn.frames import Frames
from trivet.transport.h2corn.gone import Gone

if TYPE_CHECKING:
    from h2corn import Receive


class Messages:
    """An iterator over them. What is not taken is left to HTTP/2's flow control."""

    __slots__ = ("_call", "_encoding", "_ended", "_frames", "_limit", "_receive")

    def __init__(self, receive: Receive, encoding: bytes, limit: int) -> None:
        """encoding: of the messages that say that they are compressed; limit: bytes of each."""
        self._receive = receive
        self._encoding = encoding
        self._limit = limit
        self._frames = Frames(limit)
        self._ended = False
        self._call = asyncio.current_task()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self.next()
        if message is None:
            raise StopAsyncIteration
        return message

    async def one(self) -> bytes:
        """The message of a call that has one. Raises ServeError if none comes."""
        message = await self.next()
        if message is None:
            raise ServeError("the request ended without a message")
        return message

    async def next(self) -> bytes | None:
        """The next message; None when the caller has sent all of them.

        Raises ServeError for what is none, ResourceExhausted for one over the limit.
        """
        while (taken := self._frames.take()) is None:
            if self._ended:
                self._frames.check_ended()
                return None
            await self._read()
        flag, message = taken
        if flag == 0:
            return message
        if flag != 1:
            raise ServeError(f"the flag of a message is {flag}, which is neither 0 nor 1")
        return decompressed(message, self._encoding, self._limit)

    async def _read(self) -> None:
        event = await self._receive()
        if event["type"] != "http.request":
            raise self._left()
        self._ended = not event.get("more_body", False)
        if chunk := event.get("body"):
            self._frames.feed(chunk)

    def _left(self) -> Gone:
        """The caller is gone. Whoever reads may be another task than the call's own."""
        if self._call is not None and not self._call.cancelling():
            self._call.cancel()
        return Gone()
