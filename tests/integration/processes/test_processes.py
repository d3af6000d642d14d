"""Processes that take connections: started, killed, replaced, ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from tests.harness.processes import kill, serves
from tests.integration.processes.front import Front, front
from trivet.errors import InvalidConfig
from trivet.testing.clock import ManualClock
from trivet.transport.options import Tls, Transport
from trivet.transport.processes.heartbeat import EVERY_S, MOST_MISSED, SILENT_S

FEWEST, MOST = 4, 64  # connections until each of two processes has one


class Caller:
    """One connection, with a call that waits and a stream that goes on."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.waiting = channel.unary_unary("/t/Wait")(b"")
        self.stream = channel.stream_stream("/t/Double")()
        self.pid = 0  # of the process that has the connection

    async def ask(self) -> bytes:
        await self.stream.write(b"x")
        answer = await self.stream.read()
        assert isinstance(answer, bytes)
        return answer


async def callers_of(served: Front, stack: AsyncExitStack) -> list[Caller]:
    """Connected one after the other, so that it is known whose each connection is."""
    callers: list[Caller] = []
    for number in range(MOST):
        before = {pid: serves(pid) for pid in served.processes()}
        caller = Caller(await stack.enter_async_context(served.channel()))
        await served.seen.until(begun=number + 1)
        assert await caller.ask() == b"xx"
        (caller.pid,) = [pid for pid, count in before.items() if serves(pid) > count]
        callers.append(caller)
        if len(callers) >= FEWEST and len({one.pid for one in callers}) > 1:
            break
    return callers


async def test_one_that_is_killed_takes_its_own_connections_along_and_is_replaced(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trivet.transport")
    async with front(transport) as served, AsyncExitStack() as stack:
        callers = await callers_of(served, stack)
        killed = callers[0].pid
        theirs = [caller for caller in callers if caller.pid == killed]
        others = [caller for caller in callers if caller.pid != killed]
        assert others, "one process had them all"
        before = served.processes()
        kill(killed)
        await served.seen.until(cancelled=len(theirs))
        for caller in theirs:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await caller.waiting
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert [await caller.ask() for caller in others] == [b"xx"] * len(others)
        assert not any(caller.waiting.done() for caller in others)
        assert served.seen.cancelled == len(theirs)
        async with asyncio.timeout(20):
            while "frontend_process_replaced" not in caplog.messages:
                await asyncio.sleep(0.01)
        (new,) = served.processes() - before
        async with asyncio.timeout(20):
            while not serves(new):  # newcomers reach it
                async with served.channel() as channel:
                    await channel.unary_unary("/t/Echo")(b"")
                    await asyncio.sleep(0)
                    if serves(new):
                        break
        for caller in others:
            caller.waiting.cancel()
            caller.stream.cancel()
    ended = [r for r in caplog.records if r.getMessage() == "frontend_process_ended"]
    assert [(vars(r)["frontend_process"], vars(r)["why"]) for r in ended] == [
        (killed, "it was killed by SIGKILL")
    ]


async def test_one_that_hangs_is_killed_and_replaced_and_one_that_answers_is_not(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trivet.transport")
    clock = ManualClock()
    async with front(transport, clock=clock, processes=1) as served, AsyncExitStack() as stack:
        caller = Caller(await stack.enter_async_context(served.channel()))
        await served.seen.until(begun=1)
        (hanging,) = served.processes()
        for _ in range(2 * MOST_MISSED):
            await clock.advance(us=EVERY_S * 1_000_000)
            assert await caller.ask() == b"xx"  # went the way of the question, and came after it
        assert "frontend_process_ended" not in caplog.messages
        os.kill(hanging, signal.SIGSTOP)
        # It may have answered before it was stopped, and that is read after the first beat.
        for _ in range(MOST_MISSED + 2):
            await clock.advance(us=EVERY_S * 1_000_000)
        await served.seen.until(cancelled=1)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.waiting
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(20):
            while "frontend_process_replaced" not in caplog.messages:
                await asyncio.sleep(0.01)
        async with served.channel() as channel:
            assert await channel.unary_unary("/t/Echo")(b"on") == b"on"
        assert hanging not in served.processes()
    (ended,) = [r for r in caplog.records if r.getMessage() == "frontend_process_ended"]
    assert vars(ended)["why"] == f"it was ended, since it did not answer for {SILENT_S} s"


async def test_signals_to_them_are_the_owners_matter(transport: Transport) -> None:
    async with front(transport) as served:
        for pid in served.processes():
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        async with served.channel() as channel:
            assert await channel.unary_unary("/t/Echo")(b"on") == b"on"


async def test_what_is_under_way_is_answered_when_it_stops(transport: Transport) -> None:
    async with AsyncExitStack() as stack:
        async with front(transport, grace_s=20) as served:
            channels = [await stack.enter_async_context(served.channel()) for _ in range(6)]
            streams = [channel.stream_stream("/t/Double")() for channel in channels]
            for stream in streams:
                await stream.write(b"x")
                assert await stream.read() == b"xx"

            async def finish() -> None:
                for stream in streams:
                    await stream.write(b"y")
                    await stream.done_writing()

            finishing = asyncio.create_task(finish())
        await finishing
        for stream in streams:
            assert await stream.read() == b"yy"
            assert await stream.read() is grpc.aio.EOF
            assert await stream.code() is grpc.StatusCode.OK


async def test_what_lasts_too_long_is_cut_off(transport: Transport) -> None:
    async with AsyncExitStack() as stack:
        async with front(transport, grace_s=0.2) as served:
            channel = await stack.enter_async_context(served.channel())
            endless = channel.unary_unary("/t/Wait")(b"")
            await served.seen.until(begun=1)
        assert served.seen.cancelled == 1
        with pytest.raises(grpc.aio.AioRpcError):
            await endless


async def test_a_port_that_is_taken_is_told_and_nobody_shares_it(transport: Transport) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InvalidConfig, match="address already in use"):
            async with front(transport, port=other.getsockname()[1]):
                pass
    async with front(transport) as served:
        for processes in (1, 2):
            with pytest.raises(InvalidConfig, match="address already in use"):
                async with front(transport, port=served.port, processes=processes):
                    pass


async def test_what_a_process_cannot_serve_with_ends_the_start(
    transport: Transport, tmp_path: Path
) -> None:
    tls = Tls(certificate=tmp_path / "none.pem", key=tmp_path / "none.key")
    with pytest.raises(InvalidConfig, match=r"none\.pem"):
        async with front(transport, tls=tls):
            pass


async def test_a_unix_socket(transport: Transport, tmp_path: Path) -> None:
    path = tmp_path / "s"
    if transport is Transport.GRPCIO:
        with pytest.raises(InvalidConfig, match="cannot share a Unix socket"):
            async with front(transport, host=f"unix:{path}"):
                pass
        return
    async with front(transport, host=f"unix:{path}") as served:
        assert served.port == 0
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            assert await channel.unary_unary("/t/Echo")(b"on") == b"on"
        assert served.seen.calls[0].peer == "unix:"
        kill(min(served.processes()))
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            assert await channel.unary_unary("/t/Echo")(b"on", wait_for_ready=True) == b"on"
    assert not path.exists()
