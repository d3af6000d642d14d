"""A server that is full refuses at once, unread, and says when to come back; the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, Served, echo, echo_config, run_server
from trivet.config import ModelConfig, TensorSpec
from trivet.frontend.admission import AdmissionLimits
from trivet.frontend.status_details import STATUS_DETAILS
from trivet.request import InferRequest, InferResponse
from trivet.telemetry.failures import Reason
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import text_pb2
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub
from trivet_protos.generated.health_pb2 import HealthCheckRequest, HealthCheckResponse
from trivet_protos.generated.health_pb2_grpc import HealthAsyncStub
from trivet_protos.generated.rpc_status_pb2 import Status
from trivet_protos.generated.text_pb2_grpc import TextServiceAsyncStub

MOST = 3
ONE = np.ones((1, 1), np.float32)
EMBED = ModelConfig(
    name="embed",
    backend="fake",
    max_batch_size=8,
    inputs=(TensorSpec(name="TEXT", datatype="BYTES", dims=(1,)),),
    outputs=(TensorSpec(name="EMBEDDING", datatype="FP32", dims=(2,)),),
)


class Held:
    """Models whose answers wait for a gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = 0

    async def echo(self, request: InferRequest) -> InferResponse:
        await self._wait()
        return await echo(request)

    async def embed(self, request: InferRequest) -> InferResponse:
        await self._wait()
        return InferResponse("embed", 1, {"EMBEDDING": np.ones((1, 2), np.float32)})

    async def _wait(self) -> None:
        self.asked += 1
        await self.gate.wait()


@dataclass(frozen=True)
class Full:
    """A server that has as much under way as it takes."""

    served: Served
    held: Held
    accepted: list[asyncio.Task[pb.ModelInferResponse]]

    def rejected(self, model: str) -> int:
        known = self.served.registry.latest(model)
        assert known is not None
        return known.statistics.failures[Reason.REJECTED]


@pytest.fixture
async def full() -> AsyncIterator[Full]:
    held = Held()
    models = (ScriptedModel(echo_config(), held.echo), ScriptedModel(EMBED, held.embed))
    limits = AdmissionLimits(max_inflight_requests=MOST)
    async with run_server(*models, admission=limits) as served:
        stub = GRPCInferenceServiceAsyncStub(served.channel)
        accepted = [asyncio.create_task(_answer(stub)) for _ in range(MOST)]
        async with asyncio.timeout(20):
            while held.asked < MOST:
                await asyncio.sleep(0.001)
        yield Full(served, held, accepted)
        held.gate.set()
        for answer in await asyncio.gather(*accepted):
            assert answer.raw_output_contents[0] == ONE.tobytes()


def request(model: str = "echo", number: int = 0) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=model, id=str(number))
    message.inputs.add(name="IN", datatype="FP32", shape=[1, 1])
    message.raw_input_contents.append(ONE.tobytes())
    return message


def check_refused(error: grpc.aio.AioRpcError) -> None:
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "3 requests under way, as many as it takes (--max-inflight-r" in (error.details() or "")
    details = dict(error.trailing_metadata() or ())[STATUS_DETAILS]
    (detail,) = Status.FromString(details).details  # type: ignore[arg-type]
    assert detail.type_url.endswith("google.rpc.RetryInfo")


async def test_calls_are_refused_and_counted_by_model(full: Full) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await GRPCInferenceServiceAsyncStub(full.served.channel).ModelInfer(request())
    check_refused(refused.value)
    text = TextServiceAsyncStub(full.served.channel)
    for model in ("", "embed"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await text.Embed(text_pb2.EmbedRequest(model=model, texts=["a"]))
        check_refused(refused.value)
    assert (full.rejected("echo"), full.rejected("embed")) == (1, 2)
    assert full.held.asked == MOST


async def test_what_is_refused_is_not_read(full: Full) -> None:
    ask = full.served.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(b"\xff no message at all")
    check_refused(refused.value)


async def test_messages_of_streams_are_refused_in_band_and_the_streams_go_on(full: Full) -> None:
    stream = GRPCInferenceServiceAsyncStub(full.served.channel).ModelStreamInfer()
    await stream.write(request(number=7))
    told = await stream.read()
    assert isinstance(told, pb.ModelStreamInferResponse)
    assert "3 requests under way" in told.error_message
    assert told.infer_response.id == "7"
    embed = TextServiceAsyncStub(full.served.channel).EmbedStream()
    await embed.write(text_pb2.EmbedStreamRequest(id="8", text="a"))
    answer = await embed.read()
    assert isinstance(answer, text_pb2.EmbedStreamResponse)
    assert (answer.id, answer.error.code) == ("8", 14)
    assert (full.rejected("echo"), full.rejected("embed")) == (1, 1)
    full.held.gate.set()
    await asyncio.gather(*full.accepted)
    await stream.write(request(number=9))
    told = await stream.read()
    assert isinstance(told, pb.ModelStreamInferResponse)
    assert (told.error_message, told.infer_response.id) == ("", "9")
    await embed.write(text_pb2.EmbedStreamRequest(id="10", text="a"))
    answer = await embed.read()
    assert isinstance(answer, text_pb2.EmbedStreamResponse)
    assert (answer.id, list(answer.result.embedding)) == ("10", [1, 1])


async def test_health_and_what_asks_no_model_is_answered_all_the_same(full: Full) -> None:
    told = await HealthAsyncStub(full.served.channel).Check(HealthCheckRequest(service="echo"))
    assert told.status == HealthCheckResponse.SERVING
    stub = GRPCInferenceServiceAsyncStub(full.served.channel)
    assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
    assert (await stub.ModelMetadata(pb.ModelMetadataRequest(name="echo"))).name == "echo"


async def test_one_who_leaves_makes_room(full: Full) -> None:
    leaving = full.accepted.pop()
    leaving.cancel()
    await asyncio.wait((leaving,))
    async with asyncio.timeout(20):
        while full.served.admission.load.requests == MOST:  # until the server has heard of it
            await asyncio.sleep(0.001)
    coming = GRPCInferenceServiceAsyncStub(full.served.channel).ModelInfer(request())
    full.held.gate.set()
    assert (await coming).raw_output_contents[0] == ONE.tobytes()
    assert full.rejected("echo") == 0


async def test_bytes_under_way_are_bounded_and_one_request_alone_is_not() -> None:
    held = Held()
    limits = AdmissionLimits(max_inflight_bytes=10)
    async with run_server(ScriptedModel(echo_config(), held.echo), admission=limits) as served:
        stub = GRPCInferenceServiceAsyncStub(served.channel)
        alone = asyncio.ensure_future(_answer(stub))
        async with asyncio.timeout(20):
            while not held.asked:
                await asyncio.sleep(0.001)
        with pytest.raises(grpc.aio.AioRpcError, match="--max-inflight-bytes"):
            await stub.ModelInfer(request())
        held.gate.set()
        assert (await alone).raw_output_contents[0] == ONE.tobytes()


async def _answer(stub: GRPCInferenceServiceAsyncStub) -> pb.ModelInferResponse:
    return await stub.ModelInfer(request())
