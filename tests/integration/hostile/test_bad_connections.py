"""Connections that idle, trickle, stay half open, break off or talk nonsense harm nobody else."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import grpc
import numpy as np
import pytest

from tests.harness import http2
from tests.harness.frontend import ScriptedModel, Served, echo, echo_config, run_server
from tests.harness.http2 import Peer
from trivet.request import InferRequest, InferResponse
from trivet.transport.options import Transport
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
IDLE = 2000
PATIENCE_S = 10.0  # a well-behaved call that takes longer was harmed

pytestmark = pytest.mark.usefixtures("transport")


class Counted:
    """A model that knows how many requests are with it."""

    def __init__(self) -> None:
        self.here = 0
        self.gate = asyncio.Event()  # requests of id "wait" stay until it is set
        self.model = ScriptedModel(echo_config(), self._infer)

    async def _infer(self, request: InferRequest) -> InferResponse:
        self.here += 1
        try:
            if request.id == "wait":
                await self.gate.wait()
            return await echo(request)
        finally:
            self.here -= 1


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def server(transport: Transport, counted: Counted) -> AsyncIterator[Served]:
    async with run_server(counted.model) as served:
        yield served


def request(request_id: str = "") -> bytes:
    asked = pb.ModelInferRequest(model_name="echo", id=request_id)
    asked.inputs.add(name="IN", datatype="FP32", shape=[1, 3])
    asked.raw_input_contents.append(np.ones(3, np.float32).tobytes())
    return asked.SerializeToString()


@asynccontextmanager
async def well_behaved(server: Served, callers: int = 4) -> AsyncIterator[None]:
    """Callers on connections of their own, who ask one request after the other until the block
    ends: every one is answered in time, before, meanwhile and afterwards."""
    over = asyncio.Event()
    slowest, answered = 0.0, 0

    async def ask(number: int) -> None:
        nonlocal slowest, answered
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(server.address, options) as channel:
            stub = GRPCInferenceServiceAsyncStub(channel)
            asked = pb.ModelInferRequest.FromString(request(str(number)))
            while True:
                last = over.is_set()
                begun = time.monotonic()
                answer = await stub.ModelInfer(asked, timeout=PATIENCE_S)
                slowest, answered = max(slowest, time.monotonic() - begun), answered + 1
                assert answer.id == str(number)
                if last:
                    return

    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(ask(number))
        try:
            yield
        finally:
            over.set()
    assert answered >= callers
    assert slowest < PATIENCE_S


async def nobody_left(counted: Counted) -> None:
    """Wait until what the bad callers asked is given up."""
    async with asyncio.timeout(PATIENCE_S):
        while counted.here:
            await asyncio.sleep(0.01)


@contextmanager
def many_files(wanted: int) -> Iterator[int]:
    """How many files may be open: as many as wanted, or as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield max(soft, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_two_thousand_idle_connections(server: Served) -> None:
    with many_files(2 * IDLE + 500) as files:
        count = min(IDLE, (files - 500) // 2)  # both ends of each are this process's
        peers: list[Peer] = []
        try:
            async with well_behaved(server):
                while len(peers) < count:  # every second says nothing at all
                    peers.append(await Peer.connect(server.port, begun=len(peers) % 2 == 0))
            async with well_behaved(server):
                pass
        finally:
            for peer in peers:
                peer.close()
            await asyncio.gather(*(peer.writer.wait_closed() for peer in peers))
    assert count >= 200, f"only {files} files may be open"


async def test_slow_senders_are_answered_in_the_end_and_nobody_waits_for_them(
    server: Served, counted: Counted
) -> None:
    content = http2.message(request())
    peers = [await Peer.connect(server.port) for _ in range(50)]
    async with well_behaved(server):
        for peer in peers:
            await peer.send(http2.headers(INFER, 1))
        for place in range(len(content)):
            last = http2.END_STREAM if place == len(content) - 1 else 0
            for peer in peers:
                await peer.send(http2.frame(http2.DATA, last, 1, content[place : place + 1]))
        async with asyncio.timeout(PATIENCE_S):
            for peer in peers:
                frames = await peer.ended(1)
                assert any(one.kind == http2.DATA and one.payload for one in frames)
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("path", [INFER, STREAM])
async def test_half_open_streams_hold_nothing_up(
    server: Served, counted: Counted, path: str
) -> None:
    half = http2.message(request())[:20]
    peers = [await Peer.connect(server.port) for _ in range(20)]
    async with well_behaved(server):
        for peer in peers:
            for stream in range(1, 101, 2):
                await peer.send(
                    http2.headers(path, stream), http2.frame(http2.DATA, 0, stream, half)
                )
    for peer in peers[::2]:
        peer.close()
    for peer in peers[1::2]:
        peer.abort()
    async with well_behaved(server):
        await nobody_left(counted)


WAITING = http2.message(request("wait"))


async def test_streams_that_are_reset_at_once_are_given_up(
    server: Served, counted: Counted
) -> None:
    """A request and its cancellation in one packet, thousands of times."""
    async with well_behaved(server):
        for _ in range(20):
            peer = await Peer.connect(server.port)
            with suppress(ConnectionError):  # a server may lose patience with such a peer
                for stream in range(1, 201, 2):
                    await peer.send(
                        http2.headers(INFER, stream),
                        http2.frame(http2.DATA, http2.END_STREAM, stream, WAITING),
                        http2.reset(stream),
                    )
            peer.close()
        await nobody_left(counted)


async def test_thousands_of_calls_at_once_are_all_answered(server: Served) -> None:
    """More than the event loop can take up before the next ones come."""
    asked = [pb.ModelInferRequest.FromString(request(str(number))) for number in range(4000)]
    async with AsyncExitStack() as connected:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(server.address, options) for _ in range(4)]
        for channel in channels:
            await connected.enter_async_context(channel)
            await channel.channel_ready()
        stubs = [GRPCInferenceServiceAsyncStub(channel) for channel in channels]
        answers = await asyncio.gather(
            *(stubs[number % 4].ModelInfer(one) for number, one in enumerate(asked))
        )
    assert [answer.id for answer in answers] == [one.id for one in asked]


@pytest.mark.parametrize("path", [INFER, STREAM])
async def test_connections_that_break_off_under_way_are_given_up(
    server: Served, counted: Counted, path: str
) -> None:
    """TCP resets before, in the middle of and after a request."""
    whole = http2.message(request("wait"))
    async with well_behaved(server):
        for number in range(200):
            peer = await Peer.connect(server.port)
            part = (whole[:3], whole[:-1], whole)[number % 3]
            await peer.send(http2.headers(path, 1), http2.frame(http2.DATA, 0, 1, part))
            if number % 4:
                await peer.send(http2.frame(http2.DATA, http2.END_STREAM, 1))
            peer.abort()
        await nobody_left(counted)


LYING = {
    "claims 4 GiB": http2.message(b"abc", claimed=2**32 - 1),
    "claims one byte more": http2.message(request(), claimed=len(request()) + 1),
    "ends within the length": http2.message(request())[:3],
    "is said to be compressed": http2.message(request(), compressed=True),
}


@pytest.mark.parametrize("case", LYING)
async def test_a_message_that_lies_about_itself_is_no_answered_request(
    server: Served, case: str
) -> None:
    """The next request of the same connection is answered, or the connection is ended."""
    peer = await Peer.connect(server.port)
    async with well_behaved(server), asyncio.timeout(PATIENCE_S):
        await peer.send(
            http2.headers(INFER, 1), http2.frame(http2.DATA, http2.END_STREAM, 1, LYING[case])
        )
        await peer.send(
            http2.headers(INFER, 3),
            http2.frame(http2.DATA, http2.END_STREAM, 3, http2.message(request())),
        )
        came: list[http2.Frame] = []
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not any(one.stream == 3 and one.flags & http2.END_STREAM for one in came):
                came.append(await peer.next())
    peer.close()
    assert not any(one.stream == 1 and one.kind == http2.DATA and one.payload for one in came)


async def test_nonsense_instead_of_http2(server: Served) -> None:
    chance = random.Random(4)
    async with well_behaved(server):
        for number in range(100):
            peer = await Peer.connect(server.port, begun=number % 3 > 0)
            with suppress(ConnectionError):
                await peer.send(chance.randbytes(chance.randint(1, 400)))
                await peer.send(
                    http2.frame(chance.randrange(16), chance.randrange(256), number, b"\0" * number)
                )
            peer.close()
