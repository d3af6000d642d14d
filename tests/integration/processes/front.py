"""Two processes that take connections for a table of methods of this one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.harness.processes import children_of
from trivet.clock import Clock
from trivet.errors import Overloaded
from trivet.frontend.method import Answers, BidiStream, Call, Methods, ServerStream, Unary
from trivet.transport.options import Options, Transport
from trivet.transport.processes.supervisor import serving as supervised
from trivet.transport.serving import serving

MAX_MESSAGE = 5 << 20


@dataclass
class Seen:
    """What the owner's methods saw."""

    calls: list[Call] = field(default_factory=list)
    begun: int = 0
    cancelled: int = 0
    left_s: list[float | None] = field(default_factory=list)  # when it was cancelled
    written: int = 0  # answers that a stream was asked for
    read: int = 0  # messages that were taken of one

    async def until(self, **counts: int) -> None:
        """Wait until these counts are reached."""
        async with asyncio.timeout(20):
            while any(getattr(self, name) < count for name, count in counts.items()):
                await asyncio.sleep(0.005)


def methods(seen: Seen) -> Methods:
    async def echo(message: bytes, call: Call) -> bytes:
        seen.calls.append(call)
        call.set_trailers(
            [("said", str(dict(call.metadata).get("say", ""))), ("raw-bin", b"\0\xff")]
        )
        return message

    async def refuse(message: bytes, call: Call) -> bytes:
        call.set_trailers([("trace", "17")])
        raise Overloaded(message.decode())

    async def fail(message: bytes, call: Call) -> bytes:
        raise RuntimeError("a secret")

    async def wait(message: bytes, call: Call) -> bytes:
        seen.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            seen.cancelled += 1
            seen.left_s.append(call.time_left_s)
        return b""

    async def count(message: bytes, call: Call) -> Answers:
        for number in range(int(message)):
            seen.written += 1
            yield b"%d" % number
        call.set_trailers([("counted", message.decode())])

    async def flood(message: bytes, call: Call) -> Answers:
        try:
            while True:
                seen.written += 1
                yield message
        finally:
            seen.cancelled += 1

    async def double(messages: AsyncIterator[bytes], call: Call) -> Answers:
        async for message in messages:
            seen.read += 1
            yield message + message
        call.set_trailers([("read", str(seen.read))])

    async def slow(messages: AsyncIterator[bytes], call: Call) -> Answers:
        seen.begun += 1
        try:
            await asyncio.Event().wait()
            yield await anext(messages)
        finally:
            seen.cancelled += 1

    return {
        "/t/Echo": Unary(echo),
        "/t/Refuse": Unary(refuse),
        "/t/Fail": Unary(fail),
        "/t/Wait": Unary(wait),
        "/t/Count": ServerStream(count),
        "/t/Flood": ServerStream(flood),
        "/t/Double": BidiStream(double),
        "/t/Slow": BidiStream(slow),
    }


@dataclass
class Front:
    """What a test asks."""

    port: int
    seen: Seen
    others: set[int]  # processes of this one that were there before: other tests' tools

    def processes(self) -> set[int]:
        """Those that take the connections."""
        return set(children_of(os.getpid())) - self.others

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """A connection of its own, so that either process may have it."""
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options) as channel:
            yield channel


@asynccontextmanager
async def front(
    transport: Transport, *, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[Front]:
    """clock: says when a process hangs; None: as served by the command, on the system's."""
    settings = {"port": 0, "processes": 2, "closing_s": 0, "max_message_bytes": MAX_MESSAGE}
    seen, others = Seen(), set(children_of(os.getpid()))
    options = Options(transport=transport, **{**settings, **changes})  # type: ignore[arg-type]
    table = methods(seen)
    async with (
        supervised(table, options, clock=clock) if clock else serving(table, options) as port
    ):
        yield Front(port, seen, others)
