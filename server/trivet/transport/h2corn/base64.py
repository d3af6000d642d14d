"""Bodies in base64, for callers who can only send and read text."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from trivet.errors import ServeError

if TYPE_CHECKING:
    from h2corn import Receive, ReceiveMessage

_QUANTUM = 4  # characters that stand for up to three bytes

# Whoever writes base64 may pad it wherever a buffer was flushed, not only at the end.
_PIECES = re.compile(rb"(?:[^=]{4})*(?:[^=]{2}==|[^=]{3}=)|(?:[^=]{4})+")


class Base64Reader:
    """Text that comes in chunks -> bytes. A chunk may end anywhere."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""  # less than a quantum

    def feed(self, chunk: bytes) -> bytes:
        """The bytes of what is whole by now. Raises ServeError for what is no base64."""
        text = self._rest + chunk
        whole = len(text) - len(text) % _QUANTUM
        self._rest = text[whole:]
        return _decoded(text[:whole])

    def end(self) -> None:
        """Call when nothing follows. Raises ServeError if that was in the midst of a quantum."""
        if self._rest:
            raise ServeError("the request ended in the midst of base64; pad it with '='")


def decoding(receive: Receive) -> Receive:
    """The same events, with their bodies as bytes."""
    reader = Base64Reader()

    async def receive_bytes() -> ReceiveMessage:
        event = await receive()
        if event["type"] != "http.request":
            return event
        more = event.get("more_body", False)
        body = reader.feed(event.get("body", b""))
        if not more:
            reader.end()
        return {"type": "http.request", "body": body, "more_body": more}

    return receive_bytes


def encoded(data: bytes) -> bytes:
    """Bytes as text, padded."""
    return binascii.b2a_base64(data, newline=False)


def _decoded(text: bytes) -> bytes:
    try:
        if b"=" not in text:
            return binascii.a2b_base64(text, strict_mode=True)
        pieces = _PIECES.findall(text)
        if sum(map(len, pieces)) == len(text):
            return b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in pieces)
    except binascii.Error:
        pass
    raise ServeError(
        "the request is no base64, as its content type says; send application/grpc-web"
    )
