"""gRPC-Web by hand, over HTTP/1.1: what a browser's script sends and reads."""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from tests.harness.http2 import message

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"
TRAILERS = 0x80

Frame = tuple[int, bytes]  # flag, content


@dataclass(frozen=True)
class Told:
    """An answer. headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    frames: Sequence[Frame] = field(default_factory=list)

    @property
    def messages(self) -> list[bytes]:
        return [content for flag, content in self.frames if flag == 0]

    @property
    def trailers(self) -> Mapping[str, str]:
        """From the last frame; of an answer without a body from its headers."""
        if not self.frames:
            return self.headers
        flag, content = self.frames[-1]
        assert flag == TRAILERS, self.frames
        assert content.endswith(b"\r\n")
        lines = content.decode("ascii").removesuffix("\r\n").split("\r\n")
        return dict(line.split(": ", 1) for line in lines)

    @property
    def code(self) -> int:
        return int(self.trailers["grpc-status"])

    @property
    def text(self) -> str:
        return self.trailers.get("grpc-message", "")


@dataclass(frozen=True)
class Caller:
    """Who calls; every call has a connection of its own. tls: None without."""

    port: int
    tls: ssl.SSLContext | None = None

    def call(
        self,
        path: str,
        *messages: bytes,
        kind: str = BINARY,
        body: bytes | None = None,
        **more: str,
    ) -> Told:
        """A whole call. body: instead of messages. more: headers, _ for -."""
        if body is None:
            body = b"".join(map(message, messages))
            body = base64.b64encode(body) if "text" in kind else body
        told = self.ask("POST", path, body, content_type=kind, **more)
        is_text = told.headers.get("content-type", "").startswith("application/grpc-web-text")
        octets = from_text(told.body) if is_text else told.body
        frames = list(frames_of(octets)) if told.status == 200 else []
        return Told(told.status, told.headers, told.body, frames)

    def ask(self, method: str, path: str, body: bytes = b"", **more: str) -> Told:
        """A request of HTTP, whatever it is."""
        with closing(self.connection()) as connection:
            headers = {name.replace("_", "-"): value for name, value in more.items()}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Told(answer.status, told, answer.read())

    def connection(self, timeout_s: float = 20) -> http.client.HTTPConnection:
        at, port = "127.0.0.1", self.port
        if self.tls is not None:
            return http.client.HTTPSConnection(at, port, timeout=timeout_s, context=self.tls)
        return http.client.HTTPConnection(at, port, timeout=timeout_s)


def frames_of(octets: bytes) -> Iterator[Frame]:
    """Frames that are all there."""
    while octets:
        flag, size = struct.unpack_from(">BI", octets)
        assert len(octets) >= 5 + size, octets
        yield flag, octets[5 : 5 + size]
        octets = octets[5 + size :]


def from_text(text: bytes) -> bytes:
    """Base64 that may be padded anywhere."""
    return b"".join(base64.b64decode(piece) for piece in re.findall(b"[^=]+=*", text))
