"""Calls across processes are what they are without: every part of them arrives, both ways."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.harness import http2
from tests.harness.frontend import echo_model, run_server
from tests.integration.processes.front import MAX_MESSAGE, Front, front
from trivet.transport.options import Transport
from trivet_client import AsyncClient, Failure, InferRequest, InferResult
from trivet_protos.generated import health_pb2
from trivet_protos.generated.health_pb2_grpc import HealthAsyncStub
from trivet_protos.generated.rpc_status_pb2 import Status

MANY = 300  # messages of a stream: more than a window


@pytest.fixture
async def served(transport: Transport) -> AsyncIterator[Front]:
    async with front(transport) as made:
        yield made


async def numbers(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b"%d" % number


async def fails(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def test_unary_calls_with_all_that_belongs_to_them(served: Front) -> None:
    async with served.channel() as channel:
        call = channel.unary_unary("/t/Echo")(
            b"hello", metadata=[("say", "a"), ("say", "b"), ("more-bin", b"\0\1")], timeout=30
        )
        assert await call == b"hello"
        assert dict(await call.trailing_metadata()) == {"said": "b", "raw-bin": b"\0\xff"}
        assert await channel.unary_unary("/t/Echo")(b"") == b""
    seen = served.seen.calls[0]
    assert seen.metadata["more-bin"] == b"\0\1"
    assert seen.header("say") == "b"
    assert seen.header("nothing") is None
    assert seen.peer.startswith("ipv4:127.0.0.1:")
    assert seen.time_left_s is not None
    assert 0 < seen.time_left_s <= 31  # grpc rounds up
    assert served.seen.calls[1].time_left_s is None


async def test_refusals_keep_status_text_details_and_trailers(served: Front) -> None:
    async with served.channel() as channel:
        error = await fails(channel.unary_unary("/t/Refuse")("voll, später".encode()))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "voll, später")
        trailers = dict(error.trailing_metadata())
        assert trailers["trace"] == "17"
        assert Status.FromString(trailers["grpc-status-details-bin"]).message == "voll, später"  # type: ignore[arg-type]
        error = await fails(channel.unary_unary("/t/Fail")(b""))
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in str(error.details())
        error = await fails(channel.unary_unary("/t/Nothing")(b""))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_large_messages_travel_whole_and_larger_ones_are_refused(served: Front) -> None:
    async with served.channel() as channel:
        large = [os.urandom(4 << 20) for _ in range(3)]
        echo = channel.unary_unary("/t/Echo")
        assert await asyncio.gather(*map(echo, large)) == large
        doubled = channel.stream_stream("/t/Double")(iter(message[: 2 << 20] for message in large))
        assert [answer async for answer in doubled] == [2 * m[: 2 << 20] for m in large]
        error = await fails(echo(bytes(MAX_MESSAGE + 1)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await echo(b"on") == b"on"


async def test_streams_keep_their_order_and_their_trailers(served: Front) -> None:
    async with served.channel() as channel:
        call = channel.stream_stream("/t/Double")(numbers(MANY))
        assert [answer async for answer in call] == [b"%d%d" % (n, n) for n in range(MANY)]
        assert dict(await call.trailing_metadata()) == {"read": str(MANY)}
        counted = channel.unary_stream("/t/Count")(b"%d" % MANY)
        assert [answer async for answer in counted] == [b"%d" % n for n in range(MANY)]
        assert dict(await counted.trailing_metadata()) == {"counted": str(MANY)}


async def test_the_owner_sees_that_a_caller_leaves(served: Front) -> None:
    async with served.channel() as channel:
        unary = channel.unary_unary("/t/Wait")(b"")
        stream = channel.stream_stream("/t/Slow")(numbers(1))
        await served.seen.until(begun=2)
        unary.cancel()
        stream.cancel()
        await served.seen.until(cancelled=2)
    assert served.seen.left_s == [None]


async def test_a_deadline_ends_a_call(served: Front) -> None:
    async with served.channel() as channel:
        error = await fails(channel.unary_unary("/t/Wait")(b"", timeout=0.2))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await served.seen.until(cancelled=1)
    assert served.seen.left_s[0] is not None
    assert served.seen.left_s[0] < 0.1  # the caller gives up at his own clock


async def test_a_deadline_of_a_caller_who_says_nothing_ends_the_call_as_late(served: Front) -> None:
    peer = await http2.Peer.connect(served.port)
    await peer.send(
        http2.headers("/t/Wait", 1, grpc_timeout="200m"),
        http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(b"")),
    )
    await served.seen.until(cancelled=1)
    peer.close()
    assert served.seen.left_s == [0]


async def test_connections_that_are_reset_cancel_their_calls(served: Front) -> None:
    peers = [await http2.Peer.connect(served.port) for _ in range(6)]
    for peer in peers:
        await peer.send(
            http2.headers("/t/Wait", 1),
            http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(b"")),
        )
    await served.seen.until(begun=6)
    await peers[0].send(http2.reset(1))
    for peer in peers[1:]:
        peer.abort()
    await served.seen.until(cancelled=6)
    peers[0].close()


async def test_who_never_reads_holds_back_his_own_stream_alone(served: Front) -> None:
    async with served.channel() as channel, served.channel() as neighbour:
        flood = channel.unary_stream("/t/Flood")(bytes(64 << 10))
        assert await flood.read() == bytes(64 << 10)
        before = -1
        async with asyncio.timeout(20):
            while before != served.seen.written:  # until nothing moves any more
                before = served.seen.written
                for _ in range(20):
                    assert await neighbour.unary_unary("/t/Echo")(b"on") == b"on"
        assert before * (64 << 10) < 64 << 20
        flood.cancel()
        await served.seen.until(cancelled=1)


async def test_who_is_not_read_is_held_back(served: Front) -> None:
    async with served.channel() as channel, served.channel() as neighbour:
        written = 0
        call = channel.stream_stream("/t/Slow")()

        async def write() -> None:
            nonlocal written
            while True:
                await call.write(bytes(64 << 10))
                written += 1

        writing, before = asyncio.create_task(write()), -1
        await served.seen.until(begun=1)
        async with asyncio.timeout(20):
            while before != written:
                before = written
                for _ in range(20):
                    assert await neighbour.unary_unary("/t/Echo")(b"on") == b"on"
        assert before * (64 << 10) < 64 << 20
        call.cancel()
        await served.seen.until(cancelled=1)
        await asyncio.wait((writing,))


async def test_the_services_answer_across_processes() -> None:
    async with run_server(echo_model()) as server, AsyncClient(server.address) as client:

        async def requests() -> AsyncIterator[InferRequest]:
            for seed in range(MANY):
                yield InferRequest(model="echo", inputs={"IN": np.full((1, 4), seed, np.float32)})

        answers = [answer async for _, answer in client.infer_stream(requests())]
        assert not any(isinstance(answer, Failure) for answer in answers)
        firsts = [a.outputs["OUT"][0, 0] for a in answers if isinstance(a, InferResult)]
        assert firsts == list(range(MANY))
        watch = HealthAsyncStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        told = []
        async for health in watch:
            told.append(health.status)
            server.draining.set()
        response = health_pb2.HealthCheckResponse
        assert told == [response.SERVING, response.NOT_SERVING]
