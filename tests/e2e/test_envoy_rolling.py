"""Two servers behind Envoy, of which one is terminated or killed, and comes back: nobody notices.

Failed is a unary call that ends with another status than OK, a message of a stream that was sent
and not answered, and a stream that its caller ended and that ends with another status than OK.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.harness.envoy import Proxy, in_front_of
from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import ServerProcess, serving
from tests.harness.toolchains import needs
from tests.harness.transports import serving_on
from trivet.transport.options import Transport
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

pytestmark = [needs("system"), pytest.mark.timeout(240)]

UNARY, CALLERS = 800, 16
STREAMS, MESSAGES = 20, 10  # each message is sent when the one before is answered
DELAY_S = 5  # Envoy needs one second to see that a server leaves

Stub = GRPCInferenceServiceAsyncStub


@pytest.fixture(autouse=True, params=Transport)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Every transport keeps the same promise."""
    with serving_on(request.param) as chosen:
        yield chosen


@dataclass
class Pair:
    """Two servers, and Envoy in front of them. start: makes a server on an address."""

    proxy: Proxy
    servers: list[ServerProcess]
    start: Callable[[str], ServerProcess]

    async def end(self, which: int, number: signal.Signals) -> int:
        """Send a signal; the exit status."""
        self.servers[which].process.send_signal(number)
        return await asyncio.to_thread(self.servers[which].process.wait, 60)

    async def restart(self, which: int) -> None:
        """Start it again where it was; returns when Envoy sends calls to it."""
        address = self.servers[which].address
        self.servers[which] = await asyncio.to_thread(self.start, address)
        await asyncio.to_thread(self.proxy.wait_healthy, 2)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """They serve the pipeline "both", whose requests take some milliseconds."""
    repository = tmp_path / "models"
    add_model(repository, "one")
    add_model(repository, "two", fake_config(delay_us=5_000))
    add_model(repository, "both", pipeline_config(["one", "two"]))
    with ExitStack() as stack:

        def start(address: str) -> ServerProcess:
            port = address.rpartition(":")[2]
            flags = ("--grpc-port", port, "--shutdown-delay-secs", str(DELAY_S))
            return stack.enter_context(serving(repository, *flags))

        servers = [start(":0"), start(":0")]
        proxy = stack.enter_context(in_front_of([one.address for one in servers], tmp_path))
        proxy.wait_healthy(2)
        yield Pair(proxy, servers, start)
        for server in servers:
            server.process.kill()  # nobody asks any more: no need to wait for the delay


@dataclass
class Seen:
    """What callers saw. Unary calls and streams by how they ended."""

    unary: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    open: int = 0  # streams, now
    unanswered: int = 0  # messages of streams
    refused: list[str] = field(default_factory=list)  # messages of streams, by what they were told

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not true():
                await asyncio.sleep(0.01)


def request(number: int) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="both", id=str(number))
    message.inputs.add(name="IN", datatype="FP32", shape=[1, 1])
    message.raw_input_contents.append(np.float32(number).tobytes())
    return message


def check(answer: pb.ModelInferResponse, number: int) -> None:
    assert answer.id == str(number)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32) == [number]


async def ask(stub: Stub, seen: Seen, number: int) -> None:
    try:
        check(await stub.ModelInfer(request(number), timeout=60), number)
        seen.unary["OK"] += 1
    except grpc.aio.AioRpcError as error:
        seen.unary[f"{error.code().name}: {error.details()}"] += 1


async def converse(stub: Stub, seen: Seen, number: int) -> None:
    """One stream from its first message to the end that its caller gives it."""
    stream = stub.ModelStreamInfer(timeout=60)
    seen.open += 1
    try:
        for message in range(number, number + MESSAGES):
            seen.unanswered += 1
            await stream.write(request(message))
            answer = await stream.read()
            if answer is grpc.aio.EOF:
                break
            assert isinstance(answer, pb.ModelStreamInferResponse)
            if answer.error_message:
                seen.refused.append(answer.error_message)
                continue
            check(answer.infer_response, message)
            seen.unanswered -= 1
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass  # its status tells
    finally:
        seen.open -= 1
    seen.streams[f"{(await stream.code()).name}: {await stream.details()}"] += 1


async def under_load(pair: Pair, seen: Seen, act: Callable[[], Awaitable[None]]) -> None:
    """Callers who ask again and again while something happens, and until they have asked enough."""
    over = asyncio.Event()
    options = [("grpc.enable_retries", 0)]  # by Envoy alone

    async def repeat(one: Callable[[Stub, Seen, int], Awaitable[None]], stub: Stub) -> None:
        number = 0
        while not over.is_set() or seen.unary.total() < UNARY:
            await one(stub, seen, number)
            number += MESSAGES

    async with (
        grpc.aio.insecure_channel(pair.proxy.address, options=options) as channel,
        asyncio.TaskGroup() as callers,
    ):
        stub = Stub(channel)
        for one in [ask] * CALLERS + [converse] * STREAMS:
            callers.create_task(repeat(one, stub))
        await seen.until(lambda: seen.unary.total() >= UNARY // 4 and seen.open == STREAMS)
        await act()
        over.set()


async def test_one_is_terminated_and_restarted_and_nothing_fails(pair: Pair) -> None:
    seen = Seen()

    async def roll() -> None:
        assert await pair.end(0, signal.SIGTERM) == 0
        asked = seen.unary.total()
        await seen.until(lambda: seen.unary.total() > asked + UNARY // 4)
        await pair.restart(0)

    await under_load(pair, seen, roll)
    assert set(seen.unary) == {"OK"}
    assert set(seen.streams) == {"OK: "}
    assert (seen.unanswered, seen.refused) == (0, [])


async def test_one_is_killed_and_restarted_and_no_unary_call_fails(pair: Pair) -> None:
    seen = Seen()

    async def kill() -> None:
        assert await pair.end(0, signal.SIGKILL) == -signal.SIGKILL
        asked = seen.unary.total()
        await seen.until(lambda: seen.unary.total() > asked + UNARY // 4)
        await pair.restart(0)

    await under_load(pair, seen, kill)
    assert set(seen.unary) == {"OK"}
    retries = pair.proxy.stats("cluster.trivet.upstream_rq_retry_success")
    assert retries["cluster.trivet.upstream_rq_retry_success"] > 0
