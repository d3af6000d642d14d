"""Requests that claim what is not so: none is accepted as if it were good. Over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import grpc
import numpy as np
import pytest

from tests.fuzz.requests import tensor_request
from tests.harness.frontend import ScriptedModel, Served, echo, echo_config, run_server
from trivet.config import TensorSpec
from trivet.frontend.extras import Extras
from trivet.frontend.limits import Limits
from trivet.frontend.regions import Regions
from trivet.transport.options import Transport
from trivet_protos import wire
from trivet_protos.generated import grpc_service_pb2 as pb

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
Status = grpc.StatusCode
Change = Callable[[pb.ModelInferRequest], object]

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture
async def server(transport: Transport) -> AsyncIterator[Served]:
    """A model for each data type, named after it, without a batch dimension."""
    models = [
        ScriptedModel(
            echo_config(
                datatype,
                max_batch_size=0,
                inputs=(TensorSpec(name="IN", datatype=datatype, dims=(-1,)),),
                outputs=(TensorSpec(name="OUT", datatype=datatype, dims=(-1,)),),
            ),
            echo,
        )
        for datatype in wire.DATATYPES
    ]
    limits = Limits(max_bytes_elements=1000)
    extras = Extras(regions=Regions(), limits=limits)
    async with run_server(*models, max_message_bytes=64 << 20, extras=extras) as served:
        yield served


async def infer(server: Served, message: bytes) -> pb.ModelInferResponse:
    return pb.ModelInferResponse.FromString(await server.channel.unary_unary(INFER)(message))


def of(datatype: str, shape: list[int], raw: bytes) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=datatype)
    request.inputs.add(name="IN", datatype=datatype, shape=shape)
    request.raw_input_contents.append(raw)
    return request


def typed(datatype: str, shape: list[int], **contents: list[int]) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=datatype)
    tensor = request.inputs.add(name="IN", datatype=datatype, shape=shape)
    tensor.contents.CopyFrom(pb.InferTensorContents(**contents))  # type: ignore[arg-type]
    return request


def input_parameter(name: str, **choice: object) -> pb.ModelInferRequest:
    request = of("FP32", [1], b"\0" * 4)
    request.inputs[0].parameters[name].CopyFrom(pb.InferParameter(**choice))  # type: ignore[arg-type]
    return request


def output_parameter(name: str, **choice: object) -> pb.ModelInferRequest:
    request = of("FP32", [1], b"\0" * 4)
    output = request.outputs.add(name="OUT")
    output.parameters[name].CopyFrom(pb.InferParameter(**choice))  # type: ignore[arg-type]
    return request


def parameter(name: str, **choice: object) -> pb.ModelInferRequest:
    request = of("FP32", [1], b"\0" * 4)
    request.parameters[name].CopyFrom(pb.InferParameter(**choice))  # type: ignore[arg-type]
    return request


LENGTH_4G = b"\xff\xff\xff\xff"

WRONG: dict[str, tuple[pb.ModelInferRequest, str]] = {
    "wraps 2^64 to 0": (of("FP32", [2**32, 2**32], b""), "larger than any memory"),
    "wraps 2^64 to 4 bytes": (of("INT8", [2**32, 2**32 + 1], b"\0" * 4), "larger than any memory"),
    "wraps 2^64 with the size": (of("FP64", [2**61], b""), "larger than any memory"),
    "wraps 2^63": (of("INT8", [2**62, 2], b""), "larger than any memory"),
    "the largest dimension": (of("INT8", [2**63 - 1], b""), "takes 9223372036854775807 bytes"),
    "the smallest dimension": (of("INT8", [-(2**63)], b""), "negative"),
    "two negatives": (of("INT8", [-2, -2], b"\0" * 4), "negative"),
    "minus one": (of("INT8", [-1], b"\0"), "negative"),
    "zeros beside the huge": (of("INT8", [0, 2**62, 2**62], b""), "larger than any memory"),
    "a zero and bytes": (of("INT8", [0], b"\0"), "takes 0 bytes, but 1 came"),
    "a terabyte, of which one byte came": (of("INT8", [2**40], b"\0"), "but 1 came"),
    "33 dimensions": (of("INT8", [1] * 33, b"\0"), "at most 32 are taken (--max-dimensions)"),
    "scalar with nothing": (of("INT8", [], b""), "takes 1 bytes, but 0 came"),
    "BYTES, 4 GiB claimed": (of("BYTES", [1], LENGTH_4G), "claims 4294967295 bytes"),
    "BYTES, second element lies": (
        of("BYTES", [2], b"\1\0\0\0a" + b"\2\0\0\0a"),
        "element 1 of BYTES claims 2 bytes, but 1 are left",
    ),
    "BYTES, cut in a length": (of("BYTES", [2], b"\1\0\0\0a\0\0\0"), "ends after element 0"),
    "BYTES, more elements than taken": (
        of("BYTES", [1001], b"\0\0\0\0" * 1001),
        "at most 1000 are taken (--max-bytes-elements)",
    ),
    "BYTES, a million claimed, none came": (of("BYTES", [10**6], b""), "but 0 came"),
    "BYTES, a million claimed of few": (
        of("BYTES", [10**6], b"\0\0\0\0" * 500),
        "--max-bytes-elements",
    ),
    "INT8 of 128": (typed("INT8", [1], int_contents=[128]), "INT8 goes from -128 to 127"),
    "UINT16 of 65536": (typed("UINT16", [1], uint_contents=[65536]), "goes from 0 to 65535"),
    "typed FP16": (typed("FP16", [1], fp32_contents=[1]), "FP16 has no typed contents"),
    "typed BF16": (typed("BF16", [1], fp32_contents=[1]), "BF16 has no typed contents"),
    "typed, empty": (typed("FP32", [1]), "1 elements, but fp32_contents holds 0"),
    "an input's parameter without a value": (input_parameter("x"), "'x' has no value"),
    "an input's reserved parameter": (input_parameter("triton_x", bool_param=True), "reserved"),
    "a misspelt region": (
        input_parameter("shared_memory_regoin", string_param="r"),
        "'shared_memory_regoin' is unknown",
    ),
    "a region's size alone": (
        input_parameter("shared_memory_byte_size", int64_param=4),
        "names no region",
    ),
    "an output's parameter without a value": (output_parameter("x"), "'x' has no value"),
    "a negative number of classes": (
        output_parameter("classification", int64_param=-1),
        "at least one class",
    ),
    "classes as a float": (output_parameter("classification", double_param=1), "double_param"),
    "a negative priority": (parameter("priority", int64_param=-1), "send 0 or more"),
    "a negative timeout": (parameter("timeout", int64_param=-(2**63)), "send 0 or more"),
    "a huge text": (
        parameter("x", string_param="x" * 70_000),
        "at most 65536 are taken (--max-parameter-length)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_claimed_wrongly_is_refused(server: Served, case: str) -> None:
    request, told = WRONG[case]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, request.SerializeToString())
    assert refused.value.code() is Status.INVALID_ARGUMENT
    assert told in (refused.value.details() or "")


async def test_on_a_stream_each_is_refused_in_its_place(server: Served) -> None:
    messages = [request.SerializeToString() for request, _ in WRONG.values()]
    call = server.channel.stream_stream(STREAM)(iter(messages))
    answers = [pb.ModelStreamInferResponse.FromString(answer) async for answer in call]
    assert len(answers) == len(WRONG)
    for answer, (_, told) in zip(answers, WRONG.values(), strict=True):
        assert told in answer.error_message


def large(field: bytes, count: int) -> bytes:
    return of("FP32", [1], b"\0" * 4).SerializeToString() + field * count


UNFOLDING = {
    "empty inputs": large(b"\x2a\0", 10_000_000),
    "empty outputs": large(b"\x32\0", 10_000_000),
    "empty raw contents": large(b"\x3a\0", 10_000_000),
    "empty parameters": large(b"\x22\0", 10_000_000),
    "unknown fields": large(b"\xa0\x3f\0", 6_000_000),
    "groups": large(b"\xa3\x3f\xa4\x3f", 5_000_000),
    "parameters of one input": large(b"\x2a\x80\x80\x40" + b"\x22\0" * (1 << 19), 19),
}


@pytest.mark.parametrize("case", UNFOLDING)
async def test_a_message_that_would_unfold_into_gigabytes_is_refused_unread(
    server: Served, case: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, UNFOLDING[case])
    assert refused.value.code() is Status.INVALID_ARGUMENT
    assert "within this server's limits" in (refused.value.details() or "")


async def test_groups_within_groups_without_end_are_no_message(server: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, b"\x0b" * 60_000)
    assert refused.value.code() is Status.INVALID_ARGUMENT


NOT_UTF8 = b"\xff\xfe"


@pytest.mark.parametrize(
    "message",
    [
        b"\x0a\x02" + NOT_UTF8,  # model_name
        b"\x1a\x02" + NOT_UTF8,  # id
        b"\x22\x04\x0a\x02" + NOT_UTF8,  # a parameter's name
        b"\x22\x08\x0a\x00\x12\x04\x1a\x02" + NOT_UTF8,  # a parameter's text
        b"\x2a\x04\x0a\x02" + NOT_UTF8,  # an input's name
        b"\x2a\x04\x12\x02" + NOT_UTF8,  # its data type
        b"\x32\x04\x0a\x02" + NOT_UTF8,  # an output's name
    ],
)
async def test_text_that_is_not_utf8_is_refused(server: Served, message: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, message)
    assert refused.value.code() is Status.INVALID_ARGUMENT
    assert "not UTF-8" in (refused.value.details() or "")


async def test_a_field_said_twice_holds_what_was_said_last(server: Served) -> None:
    """So protobuf has it; the parts of a message said twice are joined."""
    good = of("FP32", [1], b"\0" * 4)
    good.id = "last"
    message = pb.ModelInferRequest(model_name="nobody", id="first").SerializeToString()
    assert (await infer(server, message + good.SerializeToString())).id == "last"
    twice = good.SerializeToString() * 2
    with pytest.raises(grpc.aio.AioRpcError, match="came twice"):
        await infer(server, twice)


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
async def test_what_is_no_number_comes_back_bit_by_bit(server: Served, datatype: str) -> None:
    """NaNs of every kind, infinities, subnormals and the negative zero."""
    size = wire.element_size(datatype) or 0
    raw = np.random.default_rng(5).bytes(size * 999) + b"\xff" * size
    answer = await infer(server, of(datatype, [1000], raw).SerializeToString())
    assert answer.raw_output_contents[0] == raw


@pytest.mark.parametrize("datatype", wire.DATATYPES)
async def test_every_type_is_taken_as_it_is_meant(server: Served, datatype: str) -> None:
    request = tensor_request(datatype)
    request.model_name = datatype
    answer = await infer(server, request.SerializeToString())
    assert answer.raw_output_contents[0] == request.raw_input_contents[0]


async def test_names_may_hold_anything_and_are_told_as_they_are(server: Served) -> None:
    request = of("FP32", [1], b"\0" * 4)
    request.id = "\0\r\n\t\"'%€\U0001f600"
    assert (await infer(server, request.SerializeToString())).id == request.id
    request.inputs[0].name = "IN\0"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, request.SerializeToString())
    assert refused.value.code() is Status.INVALID_ARGUMENT
