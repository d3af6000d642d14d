"""The answer to one call: messages, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

from trivet.errors import Code, ServeError
from trivet.frontend.status_details import STATUS_DETAILS, status_details
from trivet.transport.h2corn import metadata
from trivet.transport.h2corn.compression import ACCEPTED, DEFLATE, GZIP, IDENTITY, compressed
from trivet.transport.h2corn.frames import framed
from trivet.transport.h2corn.gone import Gone
from trivet.transport.texts import bounded

if TYPE_CHECKING:
    from h2corn import HTTPResponseBody, HTTPResponseStart, HTTPResponseTrailers, Send, SendMessage

Trailers = Sequence[tuple[str, str | bytes]]

_HEADERS: metadata.Headers = [
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", ACCEPTED),
]


def _start(encoding: bytes) -> HTTPResponseStart:
    headers = _HEADERS if encoding == IDENTITY else [*_HEADERS, (b"grpc-encoding", encoding)]
    return {"type": "http.response.start", "status": 200, "headers": headers, "trailers": True}


# Made once: a call sends what thousands before it have sent.
_STARTS = {encoding: _start(encoding) for encoding in (IDENTITY, GZIP, DEFLATE)}
_NO_MORE: HTTPResponseBody = {"type": "http.response.body", "body": b"", "more_body": False}
_OK: HTTPResponseTrailers = {
    "type": "http.response.trailers",
    "headers": metadata.status(Code.OK, ""),
}


class State(Enum):
    """How much of an answer is sent."""

    UNSTARTED = auto()
    STARTED = auto()  # headers are sent
    WHOLE = auto()  # and all messages
    ENDED = auto()


class Answer:
    """Sends it in order; a call has one."""

    __slots__ = ("_encoding", "_send", "_state")

    def __init__(self, send: Send, encoding: bytes) -> None:
        """encoding: what messages are compressed with where that makes them smaller."""
        self._send = send
        self._encoding = encoding
        self._state = State.UNSTARTED

    async def only(self, message: bytes, trailers: Trailers) -> None:
        """Send the one message of a unary call, and that it went well."""
        send = self._send
        try:  # written out, since this is what nearly every call does
            self._state = State.STARTED
            await send(_STARTS[self._encoding])
            self._state = State.WHOLE
            await send(self._body(message, more=False))
            self._state = State.ENDED
            await send(_trailers(trailers) if trailers else _OK)
        except Exception:
            raise Gone from None

    async def write(self, message: bytes) -> None:
        """Send one of many messages. Waits while the caller does not read."""
        if self._state is State.UNSTARTED:
            await self._begin()
        await self._put(self._body(message, more=True))

    async def finish(self, trailers: Trailers) -> None:
        """Tell that there are no more messages and that it went well."""
        if self._state is State.UNSTARTED:
            await self._begin()
        await self._close(metadata.status(Code.OK, "", trailers))

    async def refuse(self, error: ServeError, trailers: Trailers = ()) -> None:
        """Tell how the call failed; whatever was sent before."""
        details = status_details(error)
        if details:
            trailers = (*trailers, (STATUS_DETAILS, details))
        told = metadata.status(error.code, bounded(error.message), trailers)
        if self._state is State.UNSTARTED:
            await self._refuse_at_once(told)
        elif self._state is not State.ENDED:
            await self._close(told)

    async def _refuse_at_once(self, told: metadata.Headers) -> None:
        # Headers alone, which a client and a proxy may take as the sign to try again elsewhere.
        self._state = State.ENDED
        headers = [*_HEADERS, *told]
        await self._put({"type": "http.response.start", "status": 200, "headers": headers})
        await self._put(_NO_MORE)

    async def _begin(self) -> None:
        self._state = State.STARTED
        await self._put(_STARTS[self._encoding])

    async def _close(self, told: metadata.Headers) -> None:
        if self._state is State.STARTED:
            self._state = State.WHOLE
            await self._put(_NO_MORE)
        self._state = State.ENDED
        await self._put({"type": "http.response.trailers", "headers": told})

    async def _put(self, message: SendMessage) -> None:
        try:
            await self._send(message)
        except Exception:
            # The caller has left, and h2corn's own cancellation of this task is still on its way.
            raise Gone from None

    def _body(self, message: bytes, *, more: bool) -> HTTPResponseBody:
        return {"type": "http.response.body", "body": self._framed(message), "more_body": more}

    def _framed(self, message: bytes) -> bytes:
        if self._encoding != IDENTITY:
            packed = compressed(message, self._encoding)
            if packed is not None:
                return framed(packed, compressed=True)
        return framed(message)


def _trailers(trailers: Trailers) -> HTTPResponseTrailers:
    return {
        "type": "http.response.trailers",
        "headers": metadata.status(Code.OK, "", trailers),
    }
