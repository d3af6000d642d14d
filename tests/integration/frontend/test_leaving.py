"""A server that stops, seen from its connections: told first, then refused, and answered."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest

from tests.harness import http2
from tests.harness.frontend import ScriptedModel, echo_config, run_server
from tests.harness.http2 import DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Frame, Peer
from trivet.request import InferRequest, InferResponse
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

INFER = "/inference.GRPCInferenceService/ModelInfer"
REFUSED_STREAM = 7
ANSWERS = 3


class Held:
    """Answers when the gate is open, to a stream several times."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = 0

    async def answer(self, request: InferRequest) -> InferResponse:
        self.asked += 1
        await self.gate.wait()
        return InferResponse(request.model, 1, {"OUT": request.inputs["IN"]})

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        for number in range(ANSWERS):
            response = await self.answer(request) if number else None
            array = request.inputs["IN"] + np.float32(number)
            yield response or InferResponse(request.model, 1, {"OUT": array})


@dataclass(frozen=True)
class Leaving:
    """A server that can be told to stop."""

    port: int
    stop: asyncio.Event
    stopped: asyncio.Task[None]
    held: Held


@pytest.fixture
async def leaving() -> AsyncIterator[Leaving]:
    held, stop = Held(), asyncio.Event()
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    models = (
        ScriptedModel(echo_config(), held.answer),
        ScriptedModel(echo_config("many", decoupled=True), held.answer, stream=held.stream),
    )

    async def run() -> None:
        async with run_server(*models, grace_s=60) as served:
            started.set_result(served.port)
            await stop.wait()
            served.draining.set()

    stopped = asyncio.create_task(run())
    yield Leaving(await started, stop, stopped, held)
    held.gate.set()
    stop.set()
    await stopped


def request(model: str) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="IN", datatype="FP32", shape=[1, 1])
    message.raw_input_contents.append(np.ones((1, 1), np.float32).tobytes())
    return message


def call(stream: int) -> bytes:
    body = http2.message(request("echo").SerializeToString())
    return http2.headers(INFER, stream) + http2.frame(DATA, END_STREAM, stream, body)


async def until_asked(held: Held, count: int) -> None:
    async with asyncio.timeout(20):
        while held.asked < count:
            await asyncio.sleep(0.001)


async def test_callers_are_told_before_anything_else_and_the_accepted_are_answered(
    leaving: Leaving,
) -> None:
    peer = await Peer.connect(leaving.port)
    await peer.send(call(1))
    await until_asked(leaving.held, 1)
    leaving.stop.set()
    frames: list[Frame] = []
    async with asyncio.timeout(20):
        while not _goes_away_after(frames, 1):
            frames.append(await peer.next())
        assert not any(one.kind in (HEADERS, DATA) for one in frames)  # nothing is answered yet
        await peer.send(call(3))
        with pytest.raises(ConnectionRefusedError):
            await Peer.connect(leaving.port)
        leaving.held.gate.set()
        answered = await peer.ended(1)
        await leaving.stopped
    peer.close()
    assert [one.kind for one in answered] == [HEADERS, DATA, HEADERS]
    assert leaving.held.asked == 1  # what came too late was not run


async def test_a_late_call_is_refused_so_that_it_may_be_tried_elsewhere(leaving: Leaving) -> None:
    """By RST_STREAM, or by GOAWAY alone, which says of calls with higher numbers the same."""
    peer = await Peer.connect(leaving.port)
    await peer.send(call(1))
    await until_asked(leaving.held, 1)
    leaving.stop.set()
    late: list[Frame] = []
    async with asyncio.timeout(20):
        frames: list[Frame] = []
        while not _goes_away_after(frames, 1):
            frames.append(await peer.next())
        await peer.send(call(3))
        leaving.held.gate.set()
        try:
            while True:
                one = await peer.next()
                late += [one] if one.stream == 3 else []
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
    peer.close()
    assert {(one.kind, struct.unpack(">I", one.payload)[0]) for one in late[:1]} <= {
        (RST_STREAM, REFUSED_STREAM)
    }
    assert not any(one.kind in (HEADERS, DATA) for one in late)


async def test_a_decoupled_request_under_way_gets_all_its_answers(leaving: Leaving) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{leaving.port}") as channel:
        stream = GRPCInferenceServiceAsyncStub(channel).ModelStreamInfer(timeout=60)
        await stream.write(request("many"))
        assert isinstance(await stream.read(), pb.ModelStreamInferResponse)
        await until_asked(leaving.held, 1)
        leaving.stop.set()
        leaving.held.gate.set()
        for _ in range(ANSWERS - 1):
            answer = await stream.read()
            assert isinstance(answer, pb.ModelStreamInferResponse)
            assert answer.error_message == ""
        with pytest.raises(grpc.aio.AioRpcError, match="draining; it answered the first 1 of"):
            await stream.read()
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE


def _goes_away_after(frames: list[Frame], last: int) -> bool:
    """Whether a GOAWAY came that takes no calls after this one."""
    told = [struct.unpack(">I", one.payload[:4])[0] for one in frames if one.kind == GOAWAY]
    return last in told
