"""Each limit is refused with its number and its flag, one below it is taken; large messages are
counted before they are parsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.cli.flags.groups import GROUPS
from trivet.errors import InvalidInput
from trivet.frontend.codec import request_of
from trivet.frontend.limits import Limits
from trivet.frontend.refusal import parse
from trivet.frontend.unfolding import LOOKED_AT_BYTES, has_more_fields
from trivet_protos.generated import grpc_service_pb2 as pb

TINY = Limits(
    max_name_length=8,
    max_dimensions=3,
    max_tensors=3,
    max_bytes_elements=4,
    max_typed_values=5,
    max_parameters=6,
    max_parameter_length=7,
)
EMPTY_TEXT = b"\0\0\0\0"


def good() -> pb.ModelInferRequest:
    return pb.ModelInferRequest(model_name="m")


def raw(message: pb.ModelInferRequest, name: str, shape: list[int], datatype: str = "INT8") -> None:
    count = 1
    for size in shape:
        count *= size
    message.inputs.add(name=name, datatype=datatype, shape=shape)
    message.raw_input_contents.append((EMPTY_TEXT if datatype == "BYTES" else b"\0") * count)


def typed(message: pb.ModelInferRequest, count: int) -> None:
    tensor = message.inputs.add(name="T", datatype="FP32", shape=[count])
    tensor.contents.fp32_contents.extend([0.0] * count)


def parameters(message: pb.ModelInferRequest, count: int) -> None:
    """Half of them the request's, half an output's."""
    output = message.outputs.add(name="O")
    for number in range(count):
        target = message.parameters if number % 2 else output.parameters
        target[f"p{number}"].int64_param = 1


Grow = Callable[[pb.ModelInferRequest, int], object]

GROWN: dict[str, tuple[str, Grow]] = {
    "model": ("max_name_length", lambda m, n: setattr(m, "model_name", "m" * n)),
    "id": ("max_name_length", lambda m, n: setattr(m, "id", "i" * n)),
    "input": ("max_name_length", lambda m, n: raw(m, "x" * n, [1])),
    "output": ("max_name_length", lambda m, n: m.outputs.add(name="x" * n)),
    "parameter": (
        "max_name_length",
        lambda m, n: m.parameters["x" * n].CopyFrom(pb.InferParameter(int64_param=1)),
    ),
    "dimensions": ("max_dimensions", lambda m, n: raw(m, "A", [1] * n)),
    "inputs": ("max_tensors", lambda m, n: [raw(m, str(i), [1]) for i in range(n)]),
    "outputs": ("max_tensors", lambda m, n: [m.outputs.add(name=str(i)) for i in range(n)]),
    "elements": (
        "max_bytes_elements",
        lambda m, n: (raw(m, "A", [2], "BYTES"), raw(m, "B", [n - 2], "BYTES")),
    ),
    "typed": ("max_typed_values", typed),
    "parameters": ("max_parameters", parameters),
    "text": (
        "max_parameter_length",
        lambda m, n: m.parameters["x"].CopyFrom(pb.InferParameter(string_param="é" * n)),
    ),
}


@pytest.mark.parametrize("case", GROWN)
def test_as_much_as_the_limit_is_taken_and_one_more_is_refused(case: str) -> None:
    limit, grow = GROWN[case]
    most = getattr(TINY, limit)
    message = good()
    grow(message, most)
    request_of(message, limits=TINY)
    message = good()
    grow(message, most + 1)
    with pytest.raises(InvalidInput) as refused:
        request_of(message, limits=TINY)
    assert f"at most {most} are taken ({Limits.FLAGS[limit]}): " in refused.value.message
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("case", GROWN)
def test_a_refusal_repeats_little_of_what_is_too_long(case: str) -> None:
    _, grow = GROWN[case]
    message = good()
    grow(message, 5000)
    with pytest.raises(InvalidInput) as refused:
        request_of(message, limits=TINY)
    assert len(refused.value.message) < 300


def test_texts_of_a_call_count_as_elements() -> None:
    TINY.check_texts(4, "")
    with pytest.raises(
        InvalidInput, match=r"5 texts; at most 4 are taken \(--max-bytes-elements\)"
    ):
        TINY.check_texts(5, "")


def test_elements_that_a_negative_dimension_takes_back_count_all_the_same() -> None:
    message = good()
    message.inputs.add(name="A", datatype="BYTES", shape=[-100])
    message.inputs.add(name="B", datatype="BYTES", shape=[100])
    with pytest.raises(InvalidInput, match="claim 100 elements"):
        request_of(message, limits=TINY)


def test_every_limit_has_its_flag() -> None:
    flags = {f"--{flag.name}": flag for group in GROUPS for flag in group.flags}
    assert set(Limits.FLAGS) == {field.name for field in fields(Limits) if field.init}
    for limit, flag in Limits.FLAGS.items():
        assert flags[flag].default == getattr(Limits(), limit)


@pytest.mark.parametrize("field", [b"\x2a", b"\x32", b"\x22", b"\x3a", b"\xa2\x3f"])
def test_a_large_message_of_empty_fields_is_refused_unparsed(field: bytes) -> None:
    message = (field + b"\0") * LOOKED_AT_BYTES
    with pytest.raises(InvalidInput, match="more than 7 fields"):
        parse(pb.ModelInferRequest, message, 7)
    inside = field + b"\x80\x80\x08" + b"\x22\0" * (1 << 16)
    assert not has_more_fields(inside, 1)
    assert has_more_fields(inside, 1 << 15, inside=[4, 5, 6, 7, 1012])


def test_groups_cannot_hide_what_follows_them() -> None:
    assert has_more_fields(b"\x0b\x0c", 100)


@settings(derandomize=True, max_examples=200)
@given(st.binary(max_size=100), st.integers(0, 20))
def test_any_bytes_can_be_counted(message: bytes, most: int) -> None:
    """Where protobuf can read them, the fields it keeps are no more than were counted."""
    if not has_more_fields(message, most):
        try:
            read = pb.ModelInferRequest.FromString(message)
        except Exception:
            return
        repeated = (read.inputs, read.outputs, read.raw_input_contents, read.parameters)
        assert sum(map(len, repeated)) <= most


@settings(derandomize=True, max_examples=100)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
def test_fields_are_counted_to_one(inputs: int, outputs: int, dimensions: int) -> None:
    message = good()
    for _ in range(inputs):
        message.inputs.add(name="A", datatype="FP32", shape=[1] * dimensions)
    for _ in range(outputs):
        message.outputs.add(name="A")
    count = 1 + inputs * (3 + (dimensions > 0)) + 2 * outputs
    written = message.SerializeToString()
    assert not has_more_fields(written, count, inside=(5, 6))
    assert has_more_fields(written, count - 1, inside=(5, 6))
    assert has_more_fields(written, 1 + inputs + outputs) is False
