"""Messages to requests and answers to messages, as values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from trivet.errors import EngineFailed, InvalidInput, ServeError
from trivet.frontend.codec import fill_response, request_of, version_of
from trivet.request import InferRequest, InferResponse
from trivet_protos import wire
from trivet_protos.generated import grpc_service_pb2 as pb

NUMBERS = ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def message_of(**arrays: np.ndarray) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m", model_version="3", id="7")
    for name, array in arrays.items():
        message.inputs.add(name=name, datatype=wire.datatype_of(array), shape=array.shape)
        message.raw_input_contents.append(wire.encode_raw(array))
    return message


def test_a_request_is_read_with_all_it_says() -> None:
    message = message_of(A=np.arange(6, dtype=np.int64).reshape(2, 3))
    message.outputs.add(name="X")
    message.outputs.add(name="B")
    message.parameters["top_k"].int64_param = 3
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    request = request_of(message)
    assert (request.model, request.version, request.id) == ("m", 3, "7")
    assert request.outputs == ("X", "B")
    assert request.parameters == {"top_k": 3}
    np.testing.assert_array_equal(request.inputs["A"], [[0, 1, 2], [3, 4, 5]])


def test_arrays_are_views_of_the_bytes_received() -> None:
    array = request_of(message_of(A=np.zeros((1, 1000), np.float32))).inputs["A"]
    assert not array.flags.writeable
    assert not array.flags.owndata


@given(st.sampled_from(NUMBERS).flatmap(lambda d: st_numpy.arrays(d, st_numpy.array_shapes())))
def test_what_is_sent_comes_back(array: np.ndarray) -> None:
    request = request_of(message_of(A=array))
    answer = pb.ModelInferResponse()
    response = InferResponse(model="m", version=1, outputs={"B": request.inputs["A"]})
    fill_response(answer, request, response)
    (output,) = answer.outputs
    back = wire.decode_raw(answer.raw_output_contents[0], output.datatype, output.shape)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert not output.HasField("contents")


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_more_than_be_refused(noise: bytes) -> None:
    message = message_of(A=np.zeros((1, 3), np.float32))
    try:
        message.MergeFromString(noise)
    except Exception:
        return
    try:
        request_of(message)
    except ServeError as error:
        assert error.message


@pytest.mark.parametrize(
    ("text", "version"), [("", None), ("1", 1), (str(2**63 - 1), 2**63 - 1), ("stable", "stable")]
)
def test_a_version_is_a_positive_integer_an_alias_or_nothing(
    text: str, version: int | str | None
) -> None:
    assert version_of(text, "m") == version


@pytest.mark.parametrize("text", ["0", "-1", "+1", " 1", "1 ", "01", "1.5", "X", "²", str(2**63)])
def test_any_other_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no positive integer"):
        version_of(text, "m")


def test_an_empty_tensor_may_come_raw_or_typed() -> None:
    raw = message_of(A=np.zeros((0, 3), np.float32))
    typed = pb.ModelInferRequest()
    typed.inputs.add(name="A", datatype="FP32", shape=[0, 3]).contents.SetInParent()
    for message in (raw, typed):
        assert request_of(message).inputs["A"].shape == (0, 3)


def test_typed_contents_are_read_for_every_input() -> None:
    message = pb.ModelInferRequest()
    message.inputs.add(name="A", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1, 2])
    message.inputs.add(name="B", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"x")
    inputs = request_of(message).inputs
    assert inputs["A"].tolist() == [1, 2]
    assert inputs["B"].tolist() == [b"x"]


def test_a_number_that_only_the_unsigned_field_holds_is_carried_by_it() -> None:
    numbers = {"least": -(2**63), "signed": 2**63 - 1, "unsigned": 2**63, "most": 2**64 - 1}
    response = InferResponse(model="m", version=1, outputs={}, parameters=numbers)
    message = pb.ModelInferResponse()
    fill_response(message, InferRequest(model="m", inputs={}), response)
    for name, number in numbers.items():
        field = message.parameters[name].WhichOneof("parameter_choice")
        assert field == ("uint64_param" if number >= 2**63 else "int64_param")
        assert getattr(message.parameters[name], field) == number


def test_an_output_asked_for_that_the_model_left_out_is_named() -> None:
    request = InferRequest(model="m", inputs={}, outputs=("A", "B"))
    response = InferResponse(model="m", version=1, outputs={"A": np.zeros(1)})
    with pytest.raises(EngineFailed, match="model 'm' gave no output 'B' to this request"):
        fill_response(pb.ModelInferResponse(), request, response)


def test_a_parameter_of_a_type_the_wire_does_not_know_is_a_bug() -> None:
    response = InferResponse(model="m", version=1, outputs={}, parameters={"x": [1]})  # type: ignore
    with pytest.raises(TypeError, match="'x' is of type list"):
        fill_response(pb.ModelInferResponse(), InferRequest(model="m", inputs={}), response)
