"""ModelStreamInfer: order, errors, back-pressure, cancellation and leave-taking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import grpc
import numpy as np
import pytest

from tests.harness.frontend import (
    ScriptedModel,
    Served,
    echo,
    echo_config,
    echo_model,
    run_server,
)
from trivet.request import InferRequest, InferResponse
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub
from trivet_protos.generated.health_pb2 import HealthCheckRequest, HealthCheckResponse
from trivet_protos.generated.health_pb2_grpc import HealthAsyncStub
from trivet_protos.generated.reflection_v1_pb2 import ServerReflectionRequest
from trivet_protos.generated.reflection_v1_pb2_grpc import ServerReflectionAsyncStub

Stream = grpc.aio.StreamStreamCall[pb.ModelInferRequest, pb.ModelStreamInferResponse]


def numbered(number: int, model: str = "echo") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, id=str(number))
    request.inputs.add(name="IN", datatype="FP32", shape=[1, 1])
    request.raw_input_contents.append(np.float32(number).tobytes())
    return request


def open_stream(served: Served, **headers: str) -> Stream:
    stub = GRPCInferenceServiceAsyncStub(served.channel)
    return stub.ModelStreamInfer(metadata=tuple(headers.items()))


async def read(stream: Stream) -> pb.ModelStreamInferResponse:
    answer = await stream.read()
    assert isinstance(answer, pb.ModelStreamInferResponse)
    return answer


class Gates:
    """A model whose every request waits until a test lets it go."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.cancelled: asyncio.Queue[int] = asyncio.Queue()
        self.in_flight = 0
        self._gates: dict[int, asyncio.Event] = {}
        self.model = ScriptedModel(echo_config(), self._infer)

    def open(self, number: int) -> None:
        self._gates.setdefault(number, asyncio.Event()).set()

    async def _infer(self, request: InferRequest) -> InferResponse:
        number = int(request.inputs["IN"][0, 0])
        self.in_flight += 1
        self.asked.put_nowait(number)
        try:
            await self._gates.setdefault(number, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.put_nowait(number)
            raise
        finally:
            self.in_flight -= 1
        return await echo(request)


async def test_answers_come_in_request_order_though_the_model_answers_out_of_order() -> None:
    gates = Gates()
    async with run_server(gates.model) as served:
        stream = open_stream(served)
        for number in range(5):
            await stream.write(numbered(number))
        await stream.done_writing()
        for _ in range(5):  # all five are in the model together
            await gates.asked.get()
        for number in (4, 2, 3, 1, 0):
            gates.open(number)
        answers = [answer async for answer in stream]
    assert [answer.infer_response.id for answer in answers] == ["0", "1", "2", "3", "4"]
    assert all(answer.error_message == "" for answer in answers)
    assert all(
        answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers
    )


async def test_the_first_answer_does_not_wait_for_the_second_request(server: Served) -> None:
    stream = open_stream(server)
    for number in range(3):
        await stream.write(numbered(number))
        assert (await read(stream)).infer_response.id == str(number)
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() == grpc.StatusCode.OK


async def test_a_failed_request_is_answered_in_band_and_the_stream_goes_on(server: Served) -> None:
    stream = open_stream(server)
    wrong = numbered(1)
    wrong.raw_input_contents[0] = b"123"
    for request in (numbered(0), wrong, numbered(2, model="nobody"), numbered(3)):
        await stream.write(request)
    await stream.done_writing()
    good, bad, unknown, last = [answer async for answer in stream]
    assert (good.error_message, last.error_message) == ("", "")
    assert bad.error_message.startswith("[request id: 1] model 'echo': input 'IN': ")
    assert bad.infer_response.id == "1"
    assert unknown.error_message.startswith("Request for unknown model: 'nobody'")
    assert unknown.infer_response.id == "2"
    assert "triton_final_response" not in bad.infer_response.parameters
    assert await stream.code() == grpc.StatusCode.OK


async def test_bytes_that_are_no_message_are_answered_in_band(server: Served) -> None:
    path = "/inference.GRPCInferenceService/ModelStreamInfer"
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = server.channel.stream_stream(path)
    stream = call()
    await stream.write(b"\xff\xff")
    await stream.write(numbered(1).SerializeToString())
    await stream.done_writing()
    first, second = [pb.ModelStreamInferResponse.FromString(answer) async for answer in stream]
    assert first.error_message.startswith("[request id: <id_unknown>] ")
    assert second.infer_response.id == "1"


async def test_with_the_grpc_error_header_a_failure_ends_the_stream_with_its_status(
    server: Served,
) -> None:
    stream = open_stream(server, triton_grpc_error="true")
    await stream.write(numbered(0))
    assert (await read(stream)).infer_response.id == "0"
    await stream.write(numbered(1, model="nobody"))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await stream.read()
    assert ended.value.code() == grpc.StatusCode.NOT_FOUND
    assert "'nobody'" in (ended.value.details() or "")


async def test_a_decoupled_model_may_be_asked_through_a_stream() -> None:
    async with run_server(ScriptedModel(echo_config(decoupled=True), echo)) as served:
        stream = open_stream(served)
        await stream.write(numbered(3))
        assert (await read(stream)).infer_response.id == "3"
        await stream.done_writing()
        assert await stream.code() == grpc.StatusCode.OK


async def test_a_cancelled_stream_cancels_its_requests(quiet: Callable[[], None]) -> None:
    gates = Gates()
    async with run_server(gates.model) as served:
        stream = open_stream(served)
        for number in range(3):
            await stream.write(numbered(number))
            assert await gates.asked.get() == number
        stream.cancel()
        assert {await gates.cancelled.get() for _ in range(3)} == {0, 1, 2}
        assert gates.in_flight == 0
    quiet()


async def test_a_client_that_vanishes_in_the_middle_cancels_its_requests(
    quiet: Callable[[], None],
) -> None:
    gates = Gates()
    async with run_server(gates.model) as served:
        async with grpc.aio.insecure_channel(served.address) as channel:
            stream = GRPCInferenceServiceAsyncStub(channel).ModelStreamInfer()
            await stream.write(numbered(0))
            assert await gates.asked.get() == 0
        assert await gates.cancelled.get() == 0
        other = GRPCInferenceServiceAsyncStub(served.channel)
        gates.open(9)
        assert (await other.ModelInfer(numbered(9))).id == "9"
    quiet()


async def test_a_stream_without_a_request_ends_well(server: Served) -> None:
    stream = open_stream(server)
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() == grpc.StatusCode.OK


async def test_a_client_that_closes_its_half_gets_what_is_outstanding() -> None:
    gates = Gates()
    async with run_server(gates.model) as served:
        stream = open_stream(served)
        await stream.write(numbered(0))
        await stream.write(numbered(1))
        await stream.done_writing()
        assert await gates.asked.get() == 0
        gates.open(1)
        gates.open(0)
        assert [answer.infer_response.id async for answer in stream] == ["0", "1"]


async def test_a_draining_server_answers_what_it_has_read_and_ends_the_stream() -> None:
    gates = Gates()
    async with run_server(gates.model) as served:
        stream = open_stream(served)
        await stream.write(numbered(0))
        await stream.write(numbered(1))
        assert [await gates.asked.get(), await gates.asked.get()] == [0, 1]
        served.draining.set()
        gates.open(1)
        gates.open(0)
        assert (await read(stream)).infer_response.id == "0"
        assert (await read(stream)).infer_response.id == "1"
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
    assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "draining" in (ended.value.details() or "")


async def test_idle_streams_and_watchers_do_not_hold_up_a_draining_server() -> None:
    async with asyncio.timeout(15), AsyncExitStack() as clients:
        async with run_server(echo_model(), grace_s=60) as served:
            channel = grpc.aio.insecure_channel(served.address)
            await clients.enter_async_context(channel)  # the client stays when the server leaves
            stream = GRPCInferenceServiceAsyncStub(channel).ModelStreamInfer()
            await stream.write(numbered(0))
            await stream.read()
            watching = HealthAsyncStub(channel).Watch(HealthCheckRequest())
            await watching.read()
            asking = ServerReflectionAsyncStub(channel).ServerReflectionInfo()
            await asking.write(ServerReflectionRequest(list_services="*"))
            await asking.read()
            served.draining.set()
        assert await stream.code() == grpc.StatusCode.UNAVAILABLE
        last = HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
        assert [await watching.read(), await watching.read()] == [last, grpc.aio.EOF]


async def test_a_stream_of_a_thousand_requests_is_answered_in_order(server: Served) -> None:
    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        for number in range(1000):
            yield numbered(number)

    answers = GRPCInferenceServiceAsyncStub(server.channel).ModelStreamInfer(requests())
    ids = [int(answer.infer_response.id) async for answer in answers]
    assert ids == list(range(1000))
