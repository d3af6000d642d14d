"""Every overload answer tells when to come back, in the status details that gRPC libraries read."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.frontend import ScriptedModel, Served, echo, echo_config, run_server
from trivet.errors import (
    Draining,
    InvalidInput,
    NotFound,
    QueueFull,
    QueueTimeout,
    ServeError,
    Unavailable,
)
from trivet.frontend.status_details import STATUS_DETAILS
from trivet.request import InferRequest, InferResponse
from trivet_client import AsyncClient, Client, TrivetError
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub
from trivet_protos.generated.rpc_error_details_pb2 import RetryInfo
from trivet_protos.generated.rpc_status_pb2 import Status

OVERLOADS: list[ServeError] = [
    QueueFull("echo", 3),
    QueueTimeout("Request timeout expired"),
    Draining("the server is draining"),
]
OTHERS: list[ServeError] = [Unavailable("loading"), NotFound("nobody"), InvalidInput("wrong")]
ONE = np.ones((1, 1), np.float32)


def failing(error: ServeError) -> ScriptedModel:
    async def fail(request: InferRequest) -> InferResponse:
        raise error

    return ScriptedModel(echo_config(), fail)


def request() -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="echo")
    message.inputs.add(name="IN", datatype="FP32", shape=[1, 1])
    message.raw_input_contents.append(ONE.tobytes())
    return message


def details(error: grpc.aio.AioRpcError) -> Status | None:
    for name, value in error.trailing_metadata():
        if name == STATUS_DETAILS:
            return Status.FromString(value)  # type: ignore[arg-type]
    return None


def delay_s(error: grpc.aio.AioRpcError) -> float:
    status, retry = details(error), RetryInfo()
    assert status is not None
    assert (status.code, status.message) == (14, error.details())
    (detail,) = status.details
    assert detail.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    assert detail.Unpack(retry)
    return retry.retry_delay.ToNanoseconds() / 1e9


@pytest.mark.parametrize("error", OVERLOADS, ids=lambda error: type(error).__name__)
async def test_an_overload_tells_when_to_come_back(error: ServeError) -> None:
    async with run_server(failing(error)) as served:
        stub = GRPCInferenceServiceAsyncStub(served.channel)
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await stub.ModelInfer(request())
        stream = stub.ModelStreamInfer(metadata=(("triton_grpc_error", "true"),))
        await stream.write(request())
        with pytest.raises(grpc.aio.AioRpcError) as streamed:
            await stream.read()
    assert delay_s(unary.value) == delay_s(streamed.value) == error.retry_after_s > 0


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
async def test_other_failures_tell_nothing_of_the_kind(error: ServeError) -> None:
    async with run_server(failing(error)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GRPCInferenceServiceAsyncStub(served.channel).ModelInfer(request())
    assert details(refused.value) is None


async def test_an_overload_with_a_long_text_still_fits_into_the_trailers() -> None:
    async with run_server(failing(QueueTimeout("€" * 5000))) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GRPCInferenceServiceAsyncStub(served.channel).ModelInfer(request())
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    status = details(refused.value)
    assert status is not None
    assert status.message == "€" * 256


async def test_a_draining_server_tells_its_streams() -> None:
    async with run_server(ScriptedModel(echo_config(), echo)) as served:
        stream = GRPCInferenceServiceAsyncStub(served.channel).ModelStreamInfer()
        await stream.write(request())
        await stream.read()
        served.draining.set()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
    assert delay_s(ended.value) == 1.0


def broken_by(address: str, headers: dict[str, str]) -> list[tuple[str | None, str]]:
    """Status and text of what the peer's sync client is called back with on a stream."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
        given = triton.InferInput("IN", [1, 1], "FP32").set_data_from_numpy(ONE)
        client.async_stream_infer("echo", [given])
        _, error = answers.get(timeout=10)
        client.stop_stream()
    return [(error.status(), error.message())]


async def test_the_peers_client_is_told_in_band_or_by_status_as_it_asks() -> None:
    async with run_server(failing(QueueFull("echo", 3))) as served:
        (in_band,) = await asyncio.to_thread(broken_by, served.address, {})
        asked = {"triton_grpc_error": "true"}
        (status,) = await asyncio.to_thread(broken_by, served.address, asked)
    assert in_band[0] is None
    assert status[0] == "StatusCode.UNAVAILABLE"
    assert "exceeds maximum queue size" in in_band[1]
    assert "exceeds maximum queue size" in status[1]


def ask(served: Served) -> TrivetError:
    with Client(served.address) as client, pytest.raises(TrivetError) as refused:
        client.infer("echo", {"IN": ONE})
    return refused.value


async def test_our_clients_hand_it_on() -> None:
    async with run_server(failing(QueueFull("echo", 3))) as served:
        assert (await asyncio.to_thread(ask, served)).retry_after_s == 0.1
        async with AsyncClient(served.address) as client:
            with pytest.raises(TrivetError) as refused:
                await client.infer("echo", {"IN": ONE})
    assert refused.value.retry_after_s == 0.1
