"""A caller that costs next to nothing: HTTP/2 on a blocking socket, with headers made once.

What a client library does per call costs more than the servers that are compared here. This one
knows just what their answers need, and raises for anything that is not a good answer.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Self

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END, _ACK = 1, 1
_WIDE = 2**31 - 1
_REFILL = 2**28


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def _text(text: bytes) -> bytes:
    """A string of HPACK, not compressed; shorter than 127 bytes."""
    return bytes((len(text),)) + text


def head_of(path: str) -> bytes:
    """The headers of a call, none of them in HPACK's dynamic table."""
    return b"".join(
        (
            b"\x83\x86",  # POST, http
            b"\x04" + _text(path.encode()),
            b"\x01" + _text(b"bench"),  # :authority
            b"\x0f\x10" + _text(b"application/grpc"),  # content-type
            b"\x00" + _text(b"te") + _text(b"trailers"),
        )
    )


def framed(message: bytes) -> bytes:
    """A message with gRPC's prefix."""
    return struct.pack(">BI", 0, len(message)) + message


class Connection:
    """One connection; calls are asked one after the other or many at a time."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._inbox = b""
        self._next = 1
        self._stream_window, self._frame_bytes = 65_535, 16_384
        self._window = 65_535  # of the connection, for what we send
        self._windows: dict[int, int] = {}
        self._unsent: dict[int, bytes] = {}  # by stream
        self._ends: set[int] = set()  # streams that end with what is unsent
        self._taken = 0
        settings = struct.pack(">HI", 4, _WIDE)
        grown = struct.pack(">I", _WIDE - 65_535)
        self._out = [_PREFACE, _frame(_SETTINGS, 0, 0, settings), _frame(_WINDOW, 0, 0, grown)]
        self.on_end: Callable[[int], None] = lambda stream: None
        self.on_data: Callable[[int, bytes], None] = lambda stream, data: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def open(self, head: bytes) -> int:
        """Begin a call; gives its stream."""
        stream, self._next = self._next, self._next + 2
        self._windows[stream] = self._stream_window
        self._out.append(_frame(_HEADERS, 4, stream, head))
        return stream

    def send(self, stream: int, body: bytes, *, end: bool) -> None:
        """Send as soon as the peer's windows let it."""
        self._unsent[stream] = self._unsent.get(stream, b"") + body
        if end:
            self._ends.add(stream)
        self._fill(stream)

    def fileno(self) -> int:
        """For whoever waits for several of them."""
        return self._socket.fileno()

    def flush(self) -> None:
        """Send what may be sent."""
        if self._out:
            self._socket.sendall(b"".join(self._out))
            self._out.clear()

    def turn(self) -> None:
        """Send what may be sent, and take what has come; waits for something to come."""
        self.flush()
        came = self._socket.recv(1 << 20)
        if not came:
            raise ConnectionError("the server closed the connection")
        inbox, at = self._inbox + came, 0
        while len(inbox) - at >= 9:
            first, flags, stream = struct.unpack_from(">IBI", inbox, at)
            end = at + 9 + (first >> 8)
            if end > len(inbox):
                break
            self._take(first & 255, flags, stream, inbox[at + 9 : end])
            at = end
        self._inbox = inbox[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._taken += len(payload)
            if self._taken > _REFILL:
                self._out.append(_frame(_WINDOW, 0, 0, struct.pack(">I", self._taken)))
                self._taken = 0
            self.on_data(stream, payload)
        elif kind == _HEADERS and flags & _END:
            if stream in self._unsent:
                raise ConnectionError("a call was refused before it was sent")
            del self._windows[stream]
            self.on_end(stream)
        elif kind == _WINDOW:
            self._grow(stream, struct.unpack(">I", payload)[0])
        elif kind == _SETTINGS and not flags & _ACK:
            self._set(payload)
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY or (kind == _RESET and stream in self._windows):
            raise ConnectionError(f"the server ended stream {stream}: {payload!r}")

    def _set(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == 4:
                grown, self._stream_window = value - self._stream_window, value
                for stream in self._windows:
                    self._windows[stream] += grown
            elif name == 5:
                self._frame_bytes = value
        self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
        for stream in list(self._unsent):
            self._fill(stream)

    def _grow(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
            for waiting in list(self._unsent):
                self._fill(waiting)
        elif stream in self._windows:
            self._windows[stream] += size
            if stream in self._unsent:
                self._fill(stream)

    def _fill(self, stream: int) -> None:
        body = self._unsent.pop(stream)
        while body:
            size = min(len(body), self._window, self._windows[stream], self._frame_bytes)
            if size <= 0:
                self._unsent[stream] = body
                return
            piece, body = body[:size], body[size:]
            self._window -= size
            self._windows[stream] -= size
            last = not body and stream in self._ends
            self._out.append(_frame(_DATA, _END if last else 0, stream, piece))
        self._ends.discard(stream)


def unary(
    address: str, path: str, message: bytes, answer_bytes: int, callers: int, s: float
) -> int:
    """Keep so many calls under way for so long; gives how many were answered.

    answer_bytes: what each answer must at least have.
    """
    head, body, ended, sizes = head_of(path), framed(message), 0, dict[int, int]()
    until = time.perf_counter() + s

    with Connection(address) as connection:

        def ask() -> None:
            stream = connection.open(head)
            sizes[stream] = 0
            connection.send(stream, body, end=True)

        def on_data(stream: int, data: bytes) -> None:
            sizes[stream] += len(data)

        def on_end(stream: int) -> None:
            nonlocal ended
            if sizes.pop(stream) < answer_bytes:
                raise ConnectionError("a call failed")
            ended += 1
            if time.perf_counter() < until:
                ask()

        connection.on_data, connection.on_end = on_data, on_end
        for _ in range(callers):
            ask()
        while sizes:
            connection.turn()
    return ended


def latencies_s(address: str, path: str, message: bytes, calls: int) -> list[float]:
    """One caller, one call after the other: seconds of each."""
    head, body, times = head_of(path), framed(message), list[float]()
    with Connection(address) as connection:
        ended = 0

        def on_end(stream: int) -> None:
            nonlocal ended
            ended += 1

        connection.on_end = on_end
        for number in range(calls):
            began = time.perf_counter()
            connection.send(connection.open(head), body, end=True)
            while ended == number:
                connection.turn()
            times.append(time.perf_counter() - began)
    return times


def streamed(address: str, path: str, message: bytes, in_flight: int, s: float) -> int:
    """One stream with so many messages under way for so long; gives how many were answered."""
    body, answered, sent, ended = framed(message), 0, in_flight, False
    until, unread = time.perf_counter() + s, b""
    with Connection(address) as connection:
        stream = connection.open(head_of(path))

        def on_data(_: int, data: bytes) -> None:
            nonlocal unread, answered, sent
            unread += data
            came = 0
            while len(unread) >= 5 and len(unread) >= (
                size := 5 + struct.unpack(">I", unread[1:5])[0]
            ):
                unread, came = unread[size:], came + 1
            answered += came
            if came and time.perf_counter() < until:
                connection.send(stream, body * came, end=False)
                sent += came

        def on_end(_: int) -> None:
            nonlocal ended
            ended = True

        connection.on_data, connection.on_end = on_data, on_end
        connection.send(stream, body * in_flight, end=False)
        while answered < sent:
            if ended:
                raise ConnectionError("the stream ended early")
            connection.turn()
    return answered
