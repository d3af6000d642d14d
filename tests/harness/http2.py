"""HTTP/2 by hand: a peer that says what no library would say, or not all of it."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
CANCEL = 8  # the reason of an RST_STREAM

_HEAD = struct.Struct(">BHBBI")  # length in 1 + 2 bytes, kind, flags, stream


@dataclass(frozen=True, slots=True)
class Frame:
    """What came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as it is sent."""
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def headers(path: str, stream: int, **more: str) -> bytes:
    """The HEADERS that begin a gRPC call. more: further headers, _ for -."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    block = b"".join(_literal(name) + _text(value) for name, value in fields.items())
    return frame(HEADERS, END_HEADERS, stream, block)


def message(content: bytes, *, claimed: int | None = None, compressed: bool = False) -> bytes:
    """A gRPC message in front of which its length stands, or the one it is claimed to have."""
    return struct.pack(">BI", compressed, len(content) if claimed is None else claimed) + content


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def _literal(name: str) -> bytes:
    """HPACK: literal, not indexed, new name."""
    return b"\0" + _text(name)


def _text(text: str) -> bytes:
    content = text.encode()
    assert len(content) < 127, "a longer one needs a length of several bytes"
    return bytes([len(content)]) + content


class Peer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, *, begun: bool = True) -> Peer:
        """begun: with preface and settings, as HTTP/2 begins; else not a word is said."""
        peer = cls(*await asyncio.open_connection("127.0.0.1", port))
        if begun:
            peer.writer.write(PREFACE + frame(SETTINGS, 0, 0))
        return peer

    async def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def next(self) -> Frame:
        """Raises IncompleteReadError or ConnectionError when the server has hung up."""
        high, low, kind, flags, stream = _HEAD.unpack(await self.reader.readexactly(_HEAD.size))
        payload = await self.reader.readexactly(high << 16 | low)
        if kind == SETTINGS and not flags & ACK:
            await self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            await self.send(frame(PING, ACK, 0, payload))
        return Frame(kind, flags, stream, payload)

    async def ended(self, stream: int) -> list[Frame]:
        """Read until a stream is over; returns its frames."""
        came: list[Frame] = []
        while True:
            one = await self.next()
            if one.stream == stream:
                came.append(one)
                ends = one.flags & END_STREAM and one.kind in (DATA, HEADERS)
                if ends or one.kind == RST_STREAM:
                    return came

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        """End the connection with a TCP reset instead of a farewell."""
        own = self.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
