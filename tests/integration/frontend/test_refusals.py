"""What is wrong with a request is told with its status, its place and its cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, Served, echo, echo_config, run_server
from trivet.config import TensorSpec
from trivet.errors import EngineFailed, QueueFull, ServeError
from trivet.request import InferRequest, InferResponse
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

Change = Callable[[pb.ModelInferRequest], object]
Status = grpc.StatusCode


def good_request(request_id: str = "r-1") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="echo", id=request_id)
    request.inputs.add(name="IN", datatype="FP32", shape=[1, 3])
    request.raw_input_contents.append(np.ones(3, np.float32).tobytes())
    return request


def raw(content: bytes) -> Change:
    return lambda r: r.raw_input_contents.__setitem__(0, content)


def tensor(datatype: str, shape: list[int], content: bytes) -> Change:
    def change(request: pb.ModelInferRequest) -> None:
        del request.inputs[:], request.raw_input_contents[:]
        request.inputs.add(name="IN", datatype=datatype, shape=shape)
        request.raw_input_contents.append(content)

    return change


def elsewhere(request: pb.ModelInferRequest) -> None:
    """The only input is said to lie in shared memory."""
    del request.raw_input_contents[:]
    request.inputs[0].parameters["shared_memory_region"].CopyFrom(SHARED)


def typed(**contents: Any) -> Change:
    def change(request: pb.ModelInferRequest) -> None:
        del request.raw_input_contents[:]
        request.inputs[0].contents.CopyFrom(pb.InferTensorContents(**contents))

    return change


def duplicate(request: pb.ModelInferRequest) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def typed_beside_raw(request: pb.ModelInferRequest) -> None:
    request.inputs[0].contents.fp32_contents.extend([1, 2, 3])


def second_typed_beside_raw(request: pb.ModelInferRequest) -> None:
    request.inputs.add(name="B", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(1)


def output(**parameters: pb.InferParameter) -> Change:
    return lambda r: r.outputs.add(name="OUT", parameters=parameters)


def parameter(name: str, **choice: object) -> Change:
    return lambda r: r.parameters[name].CopyFrom(pb.InferParameter(**choice))  # type: ignore[arg-type]


LONG_LENGTH = (100).to_bytes(4, "little") + b"abc"
TWO_TEXTS = b"\1\0\0\0a" * 2

WRONG: dict[str, tuple[Change, list[str]]] = {
    "both raw and typed": (typed_beside_raw, ["input 'IN'", "typed contents beside", "send all"]),
    "one raw, one typed": (second_typed_beside_raw, ["input 'B'", "typed contents beside"]),
    "duplicate input": (duplicate, ["input 'IN' came twice", "send each input once"]),
    "no data": (
        lambda r: r.raw_input_contents.pop(),
        ["input 'IN' has no data", "raw_input_contents"],
    ),
    "too many raw contents": (
        lambda r: r.raw_input_contents.append(b""),
        ["2 entries for 1 inputs", "'IN'", "one entry per input"],
    ),
    "raw contents without inputs": (lambda r: r.inputs.pop(), ["1 entries for 0 inputs"]),
    "too few bytes": (raw(b"\0" * 11), ["'IN'", "takes 12 bytes, but 11 came", "send 4"]),
    "too many bytes": (raw(b"\0" * 16), ["'IN'", "takes 12 bytes, but 16 came"]),
    "no bytes": (raw(b""), ["takes 12 bytes, but 0 came"]),
    "minus one in the shape": (
        tensor("FP32", [1, -1], b""),
        ["'IN'", "dimension 1 of shape [1, -1] is negative", "size it really has"],
    ),
    "negative dimension": (tensor("FP32", [-3, 1], b""), ["dimension 0", "negative"]),
    "overflowing shape": (tensor("FP32", [2**62, 2**62], b""), ["'IN'", "larger than any memory"]),
    "overflow to zero": (tensor("FP32", [2**32, 2**32], b""), ["'IN'", "larger than any memory"]),
    "too many dimensions": (tensor("FP32", [1] * 100, b"\0" * 4), ["100 dimensions", "at most"]),
    "unknown datatype": (
        tensor("FLOAT", [1, 3], b"\0" * 12),
        ["'IN'", "data type 'FLOAT' is unknown", "FP32"],
    ),
    "BYTES longer than what came": (
        tensor("BYTES", [1, 1], LONG_LENGTH),
        ["'IN'", "element 0 of BYTES claims 100 bytes, but 3 are left", "real length"],
    ),
    "BYTES with rest": (
        tensor("BYTES", [1, 1], TWO_TEXTS),
        ["'IN'", "5 bytes left after the last element", "as many elements"],
    ),
    "BYTES too few": (tensor("BYTES", [1, 3], TWO_TEXTS), ["'IN'", "3 elements", "but 10 came"]),
    "typed in the wrong field": (
        typed(int_contents=[1, 2, 3]),
        ["'IN'", "FP32 came in int_contents", "send it in fp32_contents"],
    ),
    "typed in two fields": (
        typed(fp32_contents=[1, 2, 3], int_contents=[1]),
        ["FP32 came in int_contents"],
    ),
    "too few typed values": (
        typed(fp32_contents=[1, 2]),
        ["'IN'", "3 elements, but fp32_contents holds 2"],
    ),
    "version in words": (
        lambda r: setattr(r, "model_version", "latest"),
        ["version 'latest' is no positive integer", "no alias of the model"],
    ),
    "version zero": (lambda r: setattr(r, "model_version", "0"), ["no positive integer"]),
    "negative version": (lambda r: setattr(r, "model_version", "-1"), ["no positive integer"]),
    "version with a leading zero": (
        lambda r: setattr(r, "model_version", "01"),
        ["no positive integer"],
    ),
    "version in other digits": (
        lambda r: setattr(r, "model_version", "١"),
        ["no positive integer"],
    ),
    "version beyond int64": (
        lambda r: setattr(r, "model_version", "9" * 5000),
        ["'9999999999999999999999999999999999999999' is no positive integer"],
    ),
    "parameter without a value": (parameter("x"), ["parameter 'x' has no value", "set one field"]),
    "priority as text": (
        parameter("priority", string_param="high"),
        ["'priority' came as string_param", "send it as int64_param or uint64_param"],
    ),
    "timeout as float": (
        parameter("timeout", double_param=1.5),
        ["'timeout' came as double_param", "send it as int64_param or uint64_param"],
    ),
    "sequence_id as bool": (
        parameter("sequence_id", bool_param=True),
        ["'sequence_id' came as bool_param", "string_param"],
    ),
    "sequence_start as int": (
        parameter("sequence_start", int64_param=1),
        ["'sequence_start' came as int64_param", "send it as bool_param"],
    ),
    "reserved parameter": (
        parameter("triton_secret", int64_param=1),
        ["'triton_secret' is unknown", "reserved", "rename it"],
    ),
    "empty final response as int": (
        parameter("triton_enable_empty_final_response", int64_param=1),
        ["came as int64_param", "send it as bool_param"],
    ),
    "output asked for twice": (
        lambda r: (r.outputs.add(name="OUT"), r.outputs.add(name="OUT")),
        ["output 'OUT' is asked for twice", "ask once"],
    ),
    # Refused by the model itself: the frontend puts the request's id before it.
    "unknown output": (lambda r: r.outputs.add(name="NO"), ["output 'NO'", "'OUT'"]),
    "unknown input": (lambda r: setattr(r.inputs[0], "name", "X"), ["'IN' is missing", "'X'"]),
    "no input": (
        lambda r: (r.inputs.pop(), r.raw_input_contents.pop()),
        ["'IN' is missing", "expected 1 inputs"],
    ),
    "wrong datatype": (
        tensor("INT32", [1, 3], b"\0" * 12),
        ["'IN' has data-type 'INT32', expected 'FP32'"],
    ),
    "wrong rank": (tensor("FP32", [3], b"\0" * 12), ["'IN'", "expected [-1, -1]", "got [3]"]),
    "too many rows": (tensor("FP32", [9, 1], b"\0" * 36), ["1 to 8", "got 9", "split"]),
}


@pytest.mark.parametrize("case", WRONG, ids=list(WRONG))
async def test_a_wrong_request_is_told_its_place_and_cure(server: Served, case: str) -> None:
    change, fragments = WRONG[case]
    request = good_request()
    change(request)
    stub = GRPCInferenceServiceAsyncStub(server.channel)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(request)
    text = refused.value.details() or ""
    assert refused.value.code() == Status.INVALID_ARGUMENT
    assert text.startswith("[request id: r-1] model 'echo': ")
    for fragment in fragments:
        assert fragment in text
    assert (await stub.ModelInfer(good_request())).outputs[0].shape == [1, 3]


SHARED = pb.InferParameter(string_param="region")
OFF = "shared memory is switched off"

UNOFFERED: dict[str, tuple[Change, list[str]]] = {
    "an input in shared memory": (
        lambda r: r.inputs[0].parameters["shared_memory_region"].CopyFrom(SHARED),
        ["input 'IN'", OFF, "send the tensor in the request"],
    ),
    "an input in shared memory, as clients send it": (
        elsewhere,
        ["input 'IN'", OFF],
    ),
    "one input in shared memory, one raw": (
        lambda r: r.inputs.add(
            name="B", datatype="FP32", shape=[1], parameters={"shared_memory_region": SHARED}
        ),
        ["input 'B'", OFF],
    ),
    "an output in shared memory": (output(shared_memory_region=SHARED), ["output 'OUT'", OFF]),
}


@pytest.mark.parametrize("case", UNOFFERED, ids=list(UNOFFERED))
async def test_what_is_not_offered_is_unimplemented_in_plain_words(
    server: Served, case: str
) -> None:
    change, fragments = UNOFFERED[case]
    request = good_request()
    change(request)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await GRPCInferenceServiceAsyncStub(server.channel).ModelInfer(request)
    assert refused.value.code() == Status.UNIMPLEMENTED
    for fragment in fragments:
        assert fragment in (refused.value.details() or "")


@pytest.mark.parametrize(
    "message", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x2a\x7f", b"not a message"]
)
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    server: Served, message: bytes
) -> None:
    path = "/inference.GRPCInferenceService/ModelInfer"
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = server.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(message)
    text = refused.value.details() or ""
    assert refused.value.code() == Status.INVALID_ARGUMENT
    assert text.startswith("[request id: <id_unknown>] ")
    assert "no inference.ModelInferRequest message" in text
    assert ".proto" in text


async def test_every_unary_method_refuses_bytes_that_are_no_message(server: Served) -> None:
    methods = ["inference.GRPCInferenceService/" + name for name in (
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata",
        "ModelConfig", "ModelStatistics", "RepositoryIndex",
    )]  # fmt: skip
    methods += ["grpc.health.v1.Health/Check"]
    methods += ["trivet.v1.TextService/FillMask", "trivet.v1.TextService/Embed"]
    methods += ["trivet.v1.ServerService/ModelCost"]
    for method in methods:
        path = f"/{method}"
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = server.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\xff\xff\xff")
        assert refused.value.code() == Status.INVALID_ARGUMENT, method
        assert "message" in (refused.value.details() or ""), method


@pytest.mark.parametrize("version", ["", "1"])
async def test_an_unknown_model_is_not_found(server: Served, version: str) -> None:
    request = good_request()
    request.model_name, request.model_version = "nobody", version
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await GRPCInferenceServiceAsyncStub(server.channel).ModelInfer(request)
    assert refused.value.code() == Status.NOT_FOUND
    assert "Request for unknown model: 'nobody'" in (refused.value.details() or "")


async def test_an_unknown_version_is_not_found(server: Served) -> None:
    request = good_request()
    request.model_version = "7"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await GRPCInferenceServiceAsyncStub(server.channel).ModelInfer(request)
    assert refused.value.code() == Status.NOT_FOUND
    assert "Request for unknown model: 'echo' version 7" in (refused.value.details() or "")


async def test_a_loading_model_is_unavailable(server: Served) -> None:
    server.registry.loading("slow", 1)
    request = good_request()
    request.model_name = "slow"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await GRPCInferenceServiceAsyncStub(server.channel).ModelInfer(request)
    assert refused.value.code() == Status.UNAVAILABLE
    assert "LOADING" in (refused.value.details() or "")


async def test_a_decoupled_model_cannot_be_asked_unary() -> None:
    model = ScriptedModel(echo_config(decoupled=True), echo)
    async with run_server(model) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GRPCInferenceServiceAsyncStub(served.channel).ModelInfer(good_request())
    assert refused.value.code() == Status.UNIMPLEMENTED
    assert "ModelStreamInfer" in (refused.value.details() or "")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (
            EngineFailed("model 'echo' failed"),
            Status.INTERNAL,
            "[request id: r-1] model 'echo' failed",
        ),
        (
            QueueFull("echo", 4),
            Status.UNAVAILABLE,
            "model 'echo': exceeds maximum queue size of 4 requests; retry later",
        ),
        (ServeError("plain"), Status.INTERNAL, "plain"),
    ],
)
async def test_what_the_model_raises_reaches_the_caller(
    error: ServeError, status: grpc.StatusCode, text: str
) -> None:
    async def fail(request: InferRequest) -> InferResponse:
        raise error

    async with run_server(ScriptedModel(echo_config(), fail)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GRPCInferenceServiceAsyncStub(served.channel).ModelInfer(good_request())
    assert refused.value.code() == status
    assert refused.value.details() == text


async def test_a_bug_is_logged_and_its_text_withheld(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: InferRequest) -> InferResponse:
        raise OSError("/secret/path: no such file")

    async with run_server(ScriptedModel(echo_config(), fail)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GRPCInferenceServiceAsyncStub(served.channel).ModelInfer(good_request())
    assert refused.value.code() == Status.INTERNAL
    assert refused.value.details() == (
        "[request id: r-1] model 'echo': internal error; the server's log has the details"
    )
    (record,) = [r for r in caplog.records if r.name == "trivet.frontend"]
    assert record.exc_info is not None
    assert "/secret/path" in str(record.exc_info[1])


async def test_a_request_without_inputs_for_a_model_without_inputs_is_answered() -> None:
    async def one(request: InferRequest) -> InferResponse:
        return InferResponse(model="none", version=1, outputs={"OUT": np.ones(1, np.float32)})

    config = echo_config(
        "none",
        max_batch_size=0,
        inputs=(),
        outputs=(TensorSpec(name="OUT", datatype="FP32", dims=(1,)),),
    )
    async with run_server(ScriptedModel(config, one)) as served:
        request = pb.ModelInferRequest(model_name="none")
        answer = await GRPCInferenceServiceAsyncStub(served.channel).ModelInfer(request)
    assert answer.outputs[0].name == "OUT"
