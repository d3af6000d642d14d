"""Methods to be called by gRPC-Web, a server of them, and who calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tests.harness.grpc_web import Caller, Told
from trivet.errors import NotFound, Overloaded
from trivet.frontend.method import Answers, BidiStream, Call, Methods, ServerStream, Unary
from trivet.transport.options import Options, Transport, Web
from trivet.transport.serving import serving

SITE = "https://a.test"


LIMIT = 1000


async def echo(message: bytes, call: Call) -> bytes:
    return message


async def headers(message: bytes, call: Call) -> bytes:
    """What came in a header; and something goes back."""
    call.set_trailers((("told", "x"), ("told-bin", b"\0\xff")))
    value = call.metadata[message.decode()]
    return value.encode() if isinstance(value, str) else value


async def echo_stream(messages: AsyncIterator[bytes], call: Call) -> Answers:
    async for message in messages:
        yield message


async def count(message: bytes, call: Call) -> Answers:
    for number in range(int(message)):
        yield b"%d" % number


async def refuse(message: bytes, call: Call) -> bytes:
    raise Overloaded("come back; é")


async def refuse_late(message: bytes, call: Call) -> Answers:
    yield b"first"
    raise NotFound("no more")


class Waiting:
    """A method that says when it has begun and when it was cancelled."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def one(self, message: bytes, call: Call) -> bytes:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return b""

    async def many(self, message: bytes, call: Call) -> Answers:
        yield b"first"
        yield await self.one(message, call)


METHODS: Methods = {
    "/t.T/Echo": Unary(echo),
    "/t.T/Headers": Unary(headers),
    "/t.T/Count": ServerStream(count),
    "/t.T/Stream": BidiStream(echo_stream),
    "/t.T/Refuse": Unary(refuse),
    "/t.T/Late": ServerStream(refuse_late),
}


def options(**changes: Any) -> Options:
    settings = {"web": Web(origins=frozenset({SITE})), "max_message_bytes": LIMIT, **changes}
    return Options(port=0, transport=Transport.H2CORN, grace_s=5, closing_s=0, **settings)


class Asking:
    """A caller whose questions do not keep the server, which is of this process, from answering."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.caller = Caller(port)

    async def call(self, path: str, *messages: bytes, **more: Any) -> Told:
        return await asyncio.to_thread(partial(self.caller.call, path, *messages, **more))

    async def ask(self, method: str, path: str, body: bytes = b"", **more: str) -> Told:
        return await asyncio.to_thread(partial(self.caller.ask, method, path, body, **more))


@asynccontextmanager
async def running(methods: Methods = METHODS, **changes: Any) -> AsyncIterator[Asking]:
    async with serving(methods, options(**changes)) as port:
        yield Asking(port)
