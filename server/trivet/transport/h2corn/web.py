"""gRPC-Web: what a browser may ask, over HTTP/1.1 or HTTP/2, without a proxy between.

Pure: from a request's head to what becomes of it. The protocol is that of grpc's PROTOCOL-WEB.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from trivet.transport.h2corn import cors
from trivet.transport.h2corn.metadata import Headers

_BINARY, _TEXT = b"application/grpc-web", b"application/grpc-web-text"
_PROTO = b"+proto"
_IS_TEXT = {_BINARY: False, _BINARY + _PROTO: False, _TEXT: True, _TEXT + _PROTO: True}

_HELLO = "this is a gRPC server: POST application/grpc-web, or application/grpc over HTTP/2"


@dataclass(frozen=True, slots=True)
class WebCall:
    """A call to be answered.

    text, answer_text: whether what comes, and what goes, is base64. origin: of the page that calls;
    None for a caller that is no browser. gzip: it reads bodies that are compressed as a whole.
    """

    text: bool
    answer_text: bool
    origin: bytes | None
    gzip: bool

    @property
    def content_type(self) -> bytes:
        """Of the answer."""
        return (_TEXT if self.answer_text else _BINARY) + _PROTO


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of HTTP alone. text: for people; empty for none."""

    status: int
    text: str = ""
    headers: Headers = field(default_factory=list)


def judged(
    method: str, headers: Mapping[bytes, bytes], origins: Collection[str]
) -> WebCall | Reply:
    """What becomes of a request that is no call of gRPC over HTTP/2. origins: as in Options."""
    origin = headers.get(b"origin")
    if not cors.is_allowed(origin, origins):
        return Reply(
            403,
            f"pages of {(origin or b'').decode('latin-1')[:200]} may not call this server; its"
            " operator can allow them with --grpc-web-allow-origin",
            [(b"vary", b"origin")],
        )
    if cors.is_preflight(method, headers):
        return Reply(204, headers=cors.permission(headers))
    if fault := _fault(method, headers):
        status, text, told = fault
        return Reply(status, text, [*told, *cors.readable(origin)])
    is_text = _IS_TEXT[_kind(headers.get(b"content-type", b""))]
    answer_text = _wants_text(headers.get(b"accept", b""), is_text)
    return WebCall(is_text, answer_text, origin, _reads_gzip(headers))


def _fault(method: str, headers: Mapping[bytes, bytes]) -> tuple[int, str, Headers] | None:
    """Why it is no call: an HTTP status, a text, and headers."""
    if method != "POST":
        return 405, _HELLO, [(b"allow", b"POST")]
    if _kind(headers.get(b"content-type", b"")) not in _IS_TEXT:
        return 415, _HELLO, [(b"accept-post", b", ".join(_IS_TEXT))]
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        text = "requests that are compressed as a whole are not read; send them as they are"
        return 415, text, [(b"accept-encoding", b"identity")]
    return None


def _wants_text(accept: bytes, otherwise: bool) -> bool:
    """Whether the answer is to be text; as the request was, where that is not said."""
    kinds = {_kind(kind) for kind in accept.split(b",")}
    if kinds & {_TEXT, _TEXT + _PROTO}:
        return True
    return otherwise and not kinds & {_BINARY, _BINARY + _PROTO}


def _reads_gzip(headers: Mapping[bytes, bytes]) -> bool:
    for coding in headers.get(b"accept-encoding", b"").lower().split(b","):
        name, _, weight = coding.replace(b" ", b"").partition(b";q=")
        if name == b"gzip":
            return not weight or bool(weight.strip(b"0."))
    return False


def _kind(content_type: bytes) -> bytes:
    """Without its parameters."""
    return content_type.partition(b";")[0].strip().lower()
