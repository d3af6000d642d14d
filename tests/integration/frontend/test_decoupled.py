"""Decoupled models, served by a process and asked by the clients people use."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

import trivet_client
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.transport.options import Transport
from trivet_client import InferRequest, InferResult
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

Stream = grpc.aio.StreamStreamCall[pb.ModelInferRequest, pb.ModelStreamInferResponse]

OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)  # grpc would share one among channels
ENDLESS = 2**31 - 1
DECOUPLED = "model_transaction_policy { decoupled: true }"
SHAPED = """
    backend: "fake"
    input { name: "IN" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } }
    output { name: "OUT" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } }
    parameters { key: "answers_per_request" value { string_value: "2" } }
    model_transaction_policy { decoupled: true }
"""
REPEAT = f'{DECOUPLED} input {{ name: "COUNT" data_type: TYPE_INT32 dims: [ 1 ] }}'


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> Iterator[ServerProcess]:
    """Models that answer as often as the input COUNT says, and others.

    "repeat" knows its last answer, "ignorant" does not; "duo" has two instances; "broken" fails
    after two answers; "shaped" has reshapes; "echo" is not decoupled.
    """
    repository = tmp_path_factory.mktemp("repository")
    add_model(repository, "repeat", fake_config(more=REPEAT, answers_input="COUNT"))
    ignorant = fake_config(more=REPEAT, answers_input="COUNT", tell_final=0)
    add_model(repository, "ignorant", ignorant)
    duo = f"{REPEAT} instance_group {{ count: 2 }}"
    add_model(repository, "duo", fake_config(more=duo, answers_input="COUNT"))
    broken = fake_config(more=DECOUPLED, answers_per_request=5, fail_after=2)
    add_model(repository, "broken", broken)
    add_model(repository, "shaped", SHAPED)
    add_model(repository, "echo")
    log = tmp_path_factory.mktemp("log") / "stderr.log"
    with serving(repository, f"--transport={transport}", log=log) as process:
        yield process


@pytest.fixture
async def stub(server: ServerProcess) -> AsyncIterator[GRPCInferenceServiceAsyncStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield GRPCInferenceServiceAsyncStub(channel)


def asked(
    model: str, request_id: str, count: int = 0, *, empty_final: bool = False, size: int = 1
) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    request.inputs.add(name="IN", datatype="FP32", shape=[1, size])
    request.raw_input_contents.append(np.full(size, 0.5, np.float32).tobytes())
    if model not in ("echo", "broken"):
        request.inputs.add(name="COUNT", datatype="INT32", shape=[1, 1])
        request.raw_input_contents.append(np.int32(count).tobytes())
    if empty_final:
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


async def read(stream: Stream) -> pb.ModelStreamInferResponse:
    response = await stream.read()
    assert isinstance(response, pb.ModelStreamInferResponse)
    return response


def brief(response: pb.ModelInferResponse) -> tuple[str, int | None, bool]:
    """The request's id, the answer's place (None: an answer without outputs), final."""
    place = response.parameters["answer"].int64_param if response.outputs else None
    return response.id, place, response.parameters["triton_final_response"].bool_param


async def answers_to(
    stub: GRPCInferenceServiceAsyncStub, *requests: pb.ModelInferRequest
) -> list[tuple[str, int | None, bool]]:
    """Everything that comes on a stream of these requests."""
    stream = stub.ModelStreamInfer(iter(requests))
    responses = [response async for response in stream]
    assert await stream.code() == grpc.StatusCode.OK
    assert [response.error_message for response in responses if response.error_message] == []
    return [brief(response.infer_response) for response in responses]


async def test_only_the_last_of_several_answers_is_final(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    assert await answers_to(stub, asked("repeat", "a", 3)) == [
        ("a", 0, False),
        ("a", 1, False),
        ("a", 2, True),
    ]
    assert await answers_to(stub, asked("repeat", "b", 1)) == [("b", 0, True)]
    assert await answers_to(stub, asked("repeat", "c", 0)) == []


async def test_an_empty_final_answer_comes_only_when_asked_for(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    assert await answers_to(stub, asked("ignorant", "a", 1)) == [("a", 0, False)]
    assert await answers_to(stub, asked("ignorant", "b", 1, empty_final=True)) == [
        ("b", 0, False),
        ("b", None, True),
    ]
    assert await answers_to(stub, asked("repeat", "c", 0, empty_final=True)) == [("c", None, True)]
    assert await answers_to(stub, asked("repeat", "d", 1, empty_final=True)) == [("d", 0, True)]


async def test_decoupled_answers_pass_one_another_and_single_ones_are_not_held_up(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    stream: Stream = stub.ModelStreamInfer()
    for request in (asked("duo", "a", ENDLESS), asked("duo", "b", ENDLESS), asked("echo", "c")):
        await stream.write(request)
    seen: dict[str, list[int | None]] = {"a": [], "b": [], "c": []}
    async with asyncio.timeout(30):
        while min(map(len, seen.values())) < 1 or len(seen["a"]) < 3 or len(seen["b"]) < 3:
            request_id, place, _ = brief((await read(stream)).infer_response)
            seen[request_id].append(place)
    stream.cancel()
    assert seen["a"] == list(range(len(seen["a"])))
    assert seen["b"] == list(range(len(seen["b"])))
    assert len(seen["c"]) == 1


async def test_cancelling_in_the_middle_frees_the_instance(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    stream: Stream = stub.ModelStreamInfer()
    await stream.write(asked("repeat", "a", ENDLESS))
    for place in range(3):
        assert brief((await read(stream)).infer_response) == ("a", place, False)
    stream.cancel()
    after = stub.ModelStreamInfer(iter([asked("repeat", "b", 1)]), timeout=30)
    assert [brief(response.infer_response) async for response in after] == [("b", 0, True)]


async def test_a_client_that_never_reads_harms_nobody_else(
    server: ServerProcess, stub: GRPCInferenceServiceAsyncStub
) -> None:
    await check_that_nobody_waits_for_the_deaf(server, stub, [OWN_CONNECTION])


# An unread stream of h2corn holds up the others of its connection.
@pytest.mark.parametrize("transport", [Transport.GRPCIO], indirect=True)
async def test_a_stream_that_is_never_read_harms_no_other_of_its_connection(
    server: ServerProcess, stub: GRPCInferenceServiceAsyncStub
) -> None:
    await check_that_nobody_waits_for_the_deaf(server, stub, [])


async def check_that_nobody_waits_for_the_deaf(
    server: ServerProcess, stub: GRPCInferenceServiceAsyncStub, options: list[tuple[str, int]]
) -> None:
    async with grpc.aio.insecure_channel(server.address, options) as own:
        deaf = GRPCInferenceServiceAsyncStub(own).ModelStreamInfer()
        await deaf.write(asked("duo", "a", ENDLESS, size=100_000))
        before_mb = server.rss_mb
        for number in range(100):
            assert (await stub.ModelInfer(asked("echo", str(number)))).id == str(number)
            assert len(await answers_to(stub, asked("duo", "b", 10))) == 10
        # 400 kB an answer: what is unread stays with the instance, which waits.
        assert server.rss_mb < before_mb + 100
        deaf.cancel()
    both = [asked("duo", "a", ENDLESS), asked("duo", "b", ENDLESS)]
    stream: Stream = stub.ModelStreamInfer()
    for request in both:
        await stream.write(request)
    ids: set[str] = set()
    while ids != {"a", "b"}:  # both instances are there again
        ids.add((await read(stream)).infer_response.id)
    stream.cancel()


async def test_an_error_comes_in_band_after_the_answers_before_it(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    stream = stub.ModelStreamInfer(iter([asked("broken", "a"), asked("broken", "b")]))
    told = [response async for response in stream]
    assert await stream.code() == grpc.StatusCode.OK
    for request_id in ("a", "b"):
        own = [response for response in told if response.infer_response.id == request_id]
        assert [brief(r.infer_response)[1:] for r in own[:2]] == [(0, False), (1, False)]
        (failure,) = own[2:]
        assert failure.error_message == (
            f"[request id: {request_id}] model 'broken': fake: told to fail after 2 answers"
        )
        assert failure.infer_response.parameters["triton_final_response"].bool_param


async def test_with_the_grpc_error_header_an_error_ends_the_stream_after_the_answers(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    header = (("triton_grpc_error", "true"),)
    stream: Stream = stub.ModelStreamInfer(metadata=header)
    await stream.write(asked("broken", "a"))
    for place in range(2):
        assert brief((await read(stream)).infer_response) == ("a", place, False)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await stream.read()
    assert ended.value.code() == grpc.StatusCode.INTERNAL
    assert "told to fail after 2 answers" in (ended.value.details() or "")


async def test_a_wrong_request_is_refused_in_band(stub: GRPCInferenceServiceAsyncStub) -> None:
    wrong = asked("repeat", "a", 1)
    wrong.inputs[0].name = "WHAT"
    (refused,) = [response async for response in stub.ModelStreamInfer(iter([wrong]))]
    assert refused.error_message.startswith("[request id: a] model 'repeat': ")
    assert refused.infer_response.id == "a"


async def test_what_a_decoupled_model_says_of_itself(stub: GRPCInferenceServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(asked("ignorant", "a", 1))
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    config = (await stub.ModelConfig(pb.ModelConfigRequest(name="ignorant"))).config
    assert config.model_transaction_policy.decoupled
    assert len(await answers_to(stub, asked("ignorant", "b", 2))) == 2
    told = await stub.ModelStatistics(pb.ModelStatisticsRequest(name="ignorant"))
    (counted,) = told.model_stats
    assert counted.response_stats["1"].success.count >= 1
    assert counted.response_stats["2"].empty_response.count >= 1
    assert counted.response_stats["0"].success.count >= counted.response_stats["1"].success.count
    assert counted.execution_count == counted.inference_stats.success.count


async def test_answers_are_reshaped(stub: GRPCInferenceServiceAsyncStub) -> None:
    request = pb.ModelInferRequest(model_name="shaped", id="a")
    request.inputs.add(name="IN", datatype="FP32", shape=[2, 2])
    request.raw_input_contents.append(np.arange(4, dtype=np.float32).tobytes())
    responses = [response async for response in stub.ModelStreamInfer(iter([request]))]
    assert [brief(r.infer_response) for r in responses] == [("a", 0, False), ("a", 1, True)]
    assert [list(r.infer_response.outputs[0].shape) for r in responses] == [[2, 2], [2, 2]]


def triton_inputs(count: int) -> list[Any]:
    vector = triton.InferInput("IN", [1, 1], "FP32")
    vector.set_data_from_numpy(np.full((1, 1), 0.5, np.float32))
    counter = triton.InferInput("COUNT", [1, 1], "INT32")
    counter.set_data_from_numpy(np.full((1, 1), count, np.int32))
    return [vector, counter]


@pytest.mark.parametrize("model", ["repeat", "ignorant"])
def test_the_sync_triton_client_gets_them_all(server: ServerProcess, model: str) -> None:
    responses: queue.Queue[tuple[Any, Any]] = queue.Queue()
    counts = {"a": 0, "b": 1, "c": 20}
    got: dict[str, int] = dict.fromkeys(counts, 0)
    with triton.InferenceServerClient(server.address) as client:
        client.start_stream(callback=lambda result, error: responses.put((result, error)))
        for request_id, count in counts.items():
            client.async_stream_infer(
                model,
                triton_inputs(count),
                request_id=request_id,
                enable_empty_final_response=True,
            )
        waiting = set(counts)
        while waiting:
            result, error = responses.get(timeout=30)
            assert error is None
            request_id, place, final = brief(result.get_response())
            if place is not None:
                assert place == got[request_id]
                assert result.as_numpy("OUT").tolist() == [[0.5]]
                got[request_id] += 1
            if final:
                waiting.remove(request_id)
        client.stop_stream()
    assert got == counts


async def test_the_asyncio_triton_client_gets_them_all(server: ServerProcess) -> None:
    counts = {"a": 0, "b": 1, "c": 20}

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for request_id, count in counts.items():
            yield {
                "model_name": "repeat",
                "inputs": triton_inputs(count),
                "request_id": request_id,
            }

    got: dict[str, list[int | None]] = {request_id: [] for request_id in counts}
    finals = []
    async with triton_aio.InferenceServerClient(server.address) as client:
        async for result, error in client.stream_infer(requests()):
            assert error is None
            request_id, place, final = brief(result.get_response())
            got[request_id].append(place)
            finals += [request_id] if final else []
    # It has no way to ask for empty final answers, so that nothing tells of "a".
    assert got == {"a": [], "b": [0], "c": list(range(20))}
    assert sorted(finals) == ["b", "c"]


def own_requests(model: str) -> list[InferRequest]:
    """Requests for 0, 1, 2 and 20 answers."""
    vector = np.full((1, 1), 0.5, np.float32)
    return [
        InferRequest(model=model, inputs={"IN": vector, "COUNT": np.full((1, 1), n, np.int32)})
        for n in (0, 1, 2, 20)
    ]


def check_own(told: list[tuple[int, Any]]) -> None:
    """Every answer came, in its request's order, and each request ended."""
    places: dict[int, list[Any]] = {index: [] for index in range(4)}
    finals = []
    for index, result in told:
        assert isinstance(result, InferResult)
        if result.outputs:
            places[index].append(result.parameters["answer"])
        if result.final:
            finals.append(index)
    assert places == {0: [], 1: [0], 2: [0, 1], 3: list(range(20))}
    assert sorted(finals) == [0, 1, 2, 3]


@pytest.mark.parametrize("model", ["repeat", "ignorant"])
def test_our_own_client_gets_them_all(server: ServerProcess, model: str) -> None:
    with trivet_client.Client(server.address) as client:
        check_own(list(client.infer_stream(own_requests(model), in_flight=2)))


@pytest.mark.parametrize("model", ["repeat", "ignorant"])
async def test_our_own_asyncio_client_gets_them_all(server: ServerProcess, model: str) -> None:
    async with trivet_client.AsyncClient(server.address) as client:
        answers = client.infer_stream(own_requests(model), in_flight=2)
        check_own([answer async for answer in answers])
