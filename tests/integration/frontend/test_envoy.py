"""The contract holds with Envoy in between, under the file that operators copy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.harness.envoy import in_front_of
from tests.harness.frontend import (
    ScriptedModel,
    Served,
    echo,
    echo_config,
    echo_model,
    publish,
    run_server,
)
from tests.harness.toolchains import needs
from trivet.errors import QueueFull
from trivet.frontend.status_details import STATUS_DETAILS
from trivet.request import InferRequest, InferResponse
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub
from trivet_protos.generated.health_pb2 import HealthCheckRequest, HealthCheckResponse
from trivet_protos.generated.health_pb2_grpc import HealthAsyncStub
from trivet_protos.generated.rpc_error_details_pb2 import RetryInfo
from trivet_protos.generated.rpc_status_pb2 import Status

pytestmark = needs("system")

LARGE = 6 << 20  # bytes: more than Envoy keeps of a call


class Endless:
    """A model that never answers; tells when it is asked and when it is given up."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.given_up = asyncio.Event()

    async def answer(self, request: InferRequest) -> InferResponse:
        self.asked.set()
        try:
            await asyncio.Future()
        finally:
            self.given_up.set()
        raise AssertionError


@dataclass(frozen=True)
class Proxied:
    """What a caller behind Envoy has in hands."""

    served: Served
    channel: grpc.aio.Channel
    endless: Endless

    @property
    def stub(self) -> GRPCInferenceServiceAsyncStub:
        return GRPCInferenceServiceAsyncStub(self.channel)


async def full(request: InferRequest) -> InferResponse:
    raise QueueFull(request.model, 3)


@asynccontextmanager
async def behind_envoy(folder: Path) -> AsyncIterator[Proxied]:
    endless = Endless()
    models = (
        echo_model(),
        ScriptedModel(echo_config("full"), full),
        ScriptedModel(echo_config("endless"), endless.answer),
    )
    async with run_server(*models, max_message_bytes=2 * LARGE) as served:
        with ExitStack() as stack:
            proxy = await asyncio.to_thread(
                stack.enter_context, in_front_of([served.address], folder)
            )
            await asyncio.to_thread(proxy.wait_healthy, 1)
            options = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1)]
            async with grpc.aio.insecure_channel(proxy.address, options=options) as channel:
                yield Proxied(served, channel, endless)


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Proxied]:
    async with behind_envoy(tmp_path) as behind:
        yield behind


def request(model: str, array: np.ndarray) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="IN", datatype="FP32", shape=array.shape)
    message.raw_input_contents.append(array.tobytes())
    return message


def numbers(count: int, value: float = 1.0) -> np.ndarray:
    return np.full((1, count), value, np.float32)


def retry_s(error: grpc.aio.AioRpcError) -> float:
    trailers = dict(error.trailing_metadata() or ())
    retry = RetryInfo()
    (detail,) = Status.FromString(trailers[STATUS_DETAILS]).details  # type: ignore[arg-type]
    assert detail.Unpack(retry)
    return retry.retry_delay.ToNanoseconds() / 1e9


async def test_calls_and_streams_are_answered(proxied: Proxied) -> None:
    for array in (numbers(3), numbers(LARGE // 4)):
        told = await proxied.stub.ModelInfer(request("echo", array), timeout=30)
        assert told.raw_output_contents[0] == array.tobytes()
    stream = proxied.stub.ModelStreamInfer(timeout=30)
    for number in range(20):
        await stream.write(request("echo", numbers(2, number)))
        answer = await stream.read()
        assert isinstance(answer, pb.ModelStreamInferResponse)
        assert answer.infer_response.raw_output_contents[0] == numbers(2, number).tobytes()
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_refusal_keeps_its_status_its_text_and_its_details(proxied: Proxied) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await proxied.stub.ModelInfer(request("full", numbers(1)), timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "exceeds maximum queue size of 3" in (refused.value.details() or "")
    assert retry_s(refused.value) == 0.1
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await proxied.stub.ModelInfer(request("modèle 模型", numbers(1)), timeout=30)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert "'modèle 模型'" in (unknown.value.details() or "")


async def test_a_stream_that_fails_after_answers_does_so_too(proxied: Proxied) -> None:
    stream = proxied.stub.ModelStreamInfer(timeout=30, metadata=(("triton_grpc_error", "true"),))
    await stream.write(request("echo", numbers(1)))
    assert isinstance(await stream.read(), pb.ModelStreamInferResponse)
    await stream.write(request("full", numbers(1)))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await stream.read()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_s(ended.value) == 0.1


async def test_a_deadline_reaches_the_model(proxied: Proxied) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await proxied.stub.ModelInfer(request("endless", numbers(1)), timeout=1)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(20):
        await proxied.endless.given_up.wait()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_call_is_given_up_and_its_neighbours_go_on(
    proxied: Proxied, streamed: bool
) -> None:
    asked = request("endless", numbers(1))
    call: grpc.aio.Call
    if streamed:
        stream = call = proxied.stub.ModelStreamInfer()
        await stream.write(asked)
    else:
        call = proxied.stub.ModelInfer(asked)
    async with asyncio.timeout(20):
        await proxied.endless.asked.wait()
        call.cancel()
        await proxied.endless.given_up.wait()
    told = await proxied.stub.ModelInfer(request("echo", numbers(2)), timeout=30)
    assert told.raw_output_contents[0] == numbers(2).tobytes()


async def test_watchers_are_told_of_changes(proxied: Proxied) -> None:
    watch = HealthAsyncStub(proxied.channel).Watch(HealthCheckRequest(service="late"), timeout=30)
    seen = []
    for change in (
        lambda: proxied.served.registry.loading("late", 1),
        lambda: publish(proxied.served.registry, ScriptedModel(echo_config("late"), echo)),
        proxied.served.registry.leave,
        lambda: None,
    ):
        told = await watch.read()
        assert isinstance(told, HealthCheckResponse)
        seen.append(HealthCheckResponse.ServingStatus.Name(told.status))
        change()
    assert seen == ["SERVICE_UNKNOWN", "NOT_SERVING", "SERVING", "NOT_SERVING"]
    watch.cancel()
