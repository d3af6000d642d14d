"""The answer to a browser's call: what is trailers elsewhere is the last frame of the body."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from trivet.errors import Code
from trivet.transport.h2corn import base64, cors, metadata
from trivet.transport.h2corn.answer import Answer, State, Trailers
from trivet.transport.h2corn.compression import ACCEPTED, IDENTITY
from trivet.transport.h2corn.web import WebCall

if TYPE_CHECKING:
    from h2corn import Send

_TRAILERS = 0x80  # the flag of a frame of trailers
_GZIP_BITS = 16 + zlib.MAX_WBITS


def trailer_frame(told: metadata.Headers) -> bytes:
    """How a call ended, as the last frame says it: lines of HTTP/1.1 headers."""
    lines = b"".join(b"%b: %b\r\n" % header for header in told)
    return struct.pack(">BI", _TRAILERS, len(lines)) + lines


class WebAnswer(Answer):
    """Sends it in order; a call has one."""

    __slots__ = ("_squeeze", "_web")

    def __init__(self, send: Send, encoding: bytes, web: WebCall, *, gzip: bool) -> None:
        """encoding: of messages, as for any caller. gzip: compress the body as a whole instead,
        which browsers undo by themselves, while scripts would have to undo the former."""
        super().__init__(send, encoding)
        self._web = web
        squeezes = gzip and web.gzip and encoding == IDENTITY
        self._squeeze = zlib.compressobj(wbits=_GZIP_BITS) if squeezes else None

    async def only(self, message: bytes, trailers: Trailers) -> None:
        if self._state is State.UNSTARTED:
            await self._begin()
        self._state = State.ENDED
        told = trailer_frame(metadata.status(Code.OK, "", trailers))
        await self._send_on(self._framed(message), told, more=False)

    async def write(self, message: bytes) -> None:
        if self._state is State.UNSTARTED:
            await self._begin()
        await self._send_on(self._framed(message), more=True)

    async def _close(self, told: metadata.Headers) -> None:
        self._state = State.ENDED
        await self._send_on(trailer_frame(told), more=False)

    async def _refuse_at_once(self, told: metadata.Headers) -> None:
        self._state = State.ENDED
        headers = [*self._headers, *told, *cors.readable(self._web.origin, told)]
        await self._put({"type": "http.response.start", "status": 200, "headers": headers})
        await self._put({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> None:
        self._state = State.STARTED
        headers = [*self._headers, *cors.readable(self._web.origin)]
        if self._encoding != IDENTITY:
            headers.append((b"grpc-encoding", self._encoding))
        if self._squeeze:
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        await self._put({"type": "http.response.start", "status": 200, "headers": headers})

    @property
    def _headers(self) -> metadata.Headers:
        kind = self._web.content_type
        return [(b"content-type", kind), (b"grpc-accept-encoding", ACCEPTED)]

    async def _send_on(self, *frames: bytes, more: bool) -> None:
        """Frames; each as text of its own where text is wanted."""
        if self._web.answer_text:
            frames = tuple(map(base64.encoded, frames))
        body = b"".join(frames)
        if self._squeeze:
            ending = zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH
            body = self._squeeze.compress(body) + self._squeeze.flush(ending)
        await self._put({"type": "http.response.body", "body": body, "more_body": more})
