"""infer, of both clients: every data type there and back, parameters, what cannot be sent."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.unit.client.fake_server import FakeServer
from trivet_client import errors


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [
        (np.bool_, "BOOL"),
        (np.uint8, "UINT8"),
        (np.uint16, "UINT16"),
        (np.uint32, "UINT32"),
        (np.uint64, "UINT64"),
        (np.int8, "INT8"),
        (np.int16, "INT16"),
        (np.int32, "INT32"),
        (np.int64, "INT64"),
        (np.float16, "FP16"),
        (np.float32, "FP32"),
        (np.float64, "FP64"),
        (ml_dtypes.bfloat16, "BF16"),
    ],
)
def test_numbers_come_back_as_they_were_sent(
    client: Any, server: FakeServer, dtype: Any, datatype: str
) -> None:
    array = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    result = client.infer("echo", {"x": array})
    assert server.requests[0].inputs[0].datatype == datatype
    assert result.outputs["x"].dtype == array.dtype
    np.testing.assert_array_equal(result.outputs["x"], array)


@pytest.mark.parametrize(
    "array",
    [
        np.array([["déjà", ""], ["vu", "☕"]]),
        np.array([["déjà", ""], ["vu", "☕"]], dtype=object),
        np.array([["déjà".encode(), b""], [b"vu", "☕".encode()]], dtype=object),
    ],
    ids=["str_", "objects of str", "objects of bytes"],
)
def test_text_comes_back_as_objects_of_bytes(client: Any, array: np.ndarray) -> None:
    result = client.infer("echo", {"TEXT": array}).outputs["TEXT"]
    assert result.dtype == object
    assert result.tolist() == [["déjà".encode(), b""], [b"vu", "☕".encode()]]


def test_an_empty_array_keeps_its_shape(client: Any) -> None:
    result = client.infer("echo", {"x": np.empty((0, 3), np.float32)})
    assert result.outputs["x"].shape == (0, 3)


def test_several_inputs_keep_their_names_and_layout(client: Any) -> None:
    a, b = np.arange(6).reshape(2, 3).T, np.array([1.5], np.float32)
    result = client.infer("echo", {"a": a, "b": b})
    np.testing.assert_array_equal(result.outputs["a"], a)
    np.testing.assert_array_equal(result.outputs["b"], b)


def test_version_id_parameters_and_outputs_reach_the_server(
    client: Any, server: FakeServer
) -> None:
    parameters = {"flag": True, "k": 7, "big": 2**63, "ratio": 0.5, "word": "w"}
    result = client.infer(
        "echo",
        {"x": np.array([1], np.int64)},
        version=2,
        outputs=["x"],
        parameters=parameters,
        request_id="r1",
    )
    (request,) = server.requests
    assert (request.model_version, request.id) == ("2", "r1")
    assert [output.name for output in request.outputs] == ["x"]
    assert request.parameters["flag"].WhichOneof("parameter_choice") == "bool_param"
    assert request.parameters["big"].WhichOneof("parameter_choice") == "uint64_param"
    assert (result.model, result.version, result.request_id) == ("echo", 2, "r1")
    assert result.parameters == parameters
    assert result.final


def test_typed_contents_of_other_servers_are_read(client: Any) -> None:
    result = client.infer("typed", {"x": np.array([0, 0], np.float32)})
    assert result.outputs["x"].tolist() == [1.5, 2.5]


def test_an_array_without_a_wire_type_is_refused_by_name(client: Any, server: FakeServer) -> None:
    with pytest.raises(errors.InvalidArgument, match="input 'x': numpy dtype complex128"):
        client.infer("echo", {"x": np.array([1j])})
    assert not server.requests


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, None, [1]])
def test_a_parameter_without_a_wire_type_is_refused_by_name(client: Any, value: Any) -> None:
    with pytest.raises(errors.InvalidArgument, match="parameter 'k' is"):
        client.infer("echo", {"x": np.array([1], np.int64)}, parameters={"k": value})


def test_an_output_whose_bytes_lie_is_refused_by_name(client: Any) -> None:
    with pytest.raises(errors.Internal, match=r"output 'x': INT64 of shape \[1\] takes 8 bytes"):
        client.infer("liar", {"x": np.array([1], np.int64)})
