"""Tensors survive the wire, and what only claims to be a tensor is refused with cause and cure."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from trivet_protos.generated.grpc_service_pb2 import InferTensorContents
from trivet_protos.wire import (
    DATATYPES,
    WireError,
    datatype_of,
    decode_raw,
    decode_typed,
    element_size,
    encode_raw,
    numpy_dtype,
)

FIXED = [name for name, datatype in DATATYPES.items() if datatype.size]
SHAPES = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def fixed_size_arrays(draw: st.DrawFn) -> np.ndarray:
    """Arrays of every fixed-size data type with any bits, NaNs of all kinds among them."""
    dtype = numpy_dtype(draw(st.sampled_from(FIXED)))
    shape = draw(SHAPES)
    bits = draw(npst.arrays(np.dtype(f"u{dtype.itemsize}"), shape))
    return bits % 2 == 1 if dtype == np.bool_ else bits.view(dtype)


@st.composite
def bytes_arrays(draw: st.DrawFn) -> np.ndarray:
    shape = draw(SHAPES)
    count = int(np.prod(shape))
    array = np.empty(count, object)
    array[:] = draw(st.lists(st.binary(max_size=9), min_size=count, max_size=count))
    return array.reshape(shape)


@given(fixed_size_arrays())
def test_a_fixed_size_tensor_comes_back_bit_by_bit(array: np.ndarray) -> None:
    raw = encode_raw(array)
    decoded = decode_raw(raw, datatype_of(array), array.shape)
    assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
    assert decoded.tobytes() == array.tobytes()
    assert encode_raw(decoded) == raw


@given(bytes_arrays())
def test_a_bytes_tensor_comes_back_element_by_element(array: np.ndarray) -> None:
    decoded = decode_raw(encode_raw(array), "BYTES", array.shape)
    assert decoded.shape == array.shape
    assert decoded.ravel().tolist() == array.ravel().tolist()


@given(raw=st.binary(max_size=40), shape=SHAPES, datatype=st.sampled_from(list(DATATYPES)))
def test_any_bytes_are_a_tensor_of_that_shape_or_refused(
    raw: bytes, shape: tuple[int, ...], datatype: str
) -> None:
    try:
        decoded = decode_raw(raw, datatype, shape)
    except WireError:
        return
    assert decoded.shape == shape
    if datatype != "BOOL":
        assert encode_raw(decoded) == raw


@pytest.mark.parametrize("raw", [b"\0" * 4 + b"\0\0\x80\x3f", memoryview(b"\0\0\0\0\0\0\x80\x3f")])
def test_decoding_is_a_read_only_view_of_the_bytes(raw: bytes | memoryview) -> None:
    decoded = decode_raw(raw, "FP32", [2, 1])
    assert decoded.tolist() == [[0.0], [1.0]]
    assert np.shares_memory(decoded, np.frombuffer(raw, np.uint8))
    assert not decoded.flags.writeable


def test_decoding_writable_memory_gives_a_read_only_view() -> None:
    decoded = decode_raw(memoryview(bytearray(8)), "INT64", [1])
    assert not decoded.flags.writeable
    assert not decode_raw(b"\1\0\0\0x", "BYTES", [1]).flags.writeable


def test_every_true_of_c_is_true() -> None:
    decoded = decode_raw(b"\x00\x01\x02\xff", "BOOL", [4])
    assert decoded.dtype == np.bool_
    assert decoded.tolist() == [False, True, True, True]
    assert decoded.tobytes() == b"\x00\x01\x01\x01"


def test_clean_bools_are_not_copied() -> None:
    raw = b"\x00\x01"
    assert np.shares_memory(decode_raw(raw, "BOOL", [2]), np.frombuffer(raw, np.uint8))


def test_encoding_writes_c_order_and_little_endian_whatever_the_array() -> None:
    columns = np.arange(6, dtype="<i2").reshape(2, 3).T
    assert encode_raw(columns) == b"\0\0\3\0\1\0\4\0\2\0\5\0"
    assert encode_raw(np.array([1], ">i4")) == b"\1\0\0\0"


@pytest.mark.parametrize(
    "array",
    [
        np.array(["é", "", "ab"]),
        np.array(["é", "", "ab"], object),
        np.array(["é".encode(), b"", "ab"], object),
        np.array(["é".encode(), b"", b"ab"]),
        np.array(["é", "", "ab"], np.dtypes.StringDType()),
    ],
    ids=["str_", "objects", "mixed objects", "bytes_", "StringDType"],
)
def test_text_in_any_kind_of_array_travels_as_utf8(array: np.ndarray) -> None:
    assert datatype_of(array) == "BYTES"
    assert encode_raw(array) == b"\2\0\0\0\xc3\xa9\0\0\0\0\2\0\0\0ab"


@pytest.mark.parametrize("datatype", FIXED)
def test_a_data_type_its_dtype_and_its_size_agree(datatype: str) -> None:
    assert datatype_of(np.zeros(1, numpy_dtype(datatype))) == datatype
    assert element_size(datatype) == numpy_dtype(datatype).itemsize


def test_bytes_elements_have_no_size_of_their_own() -> None:
    assert element_size("BYTES") is None
    assert numpy_dtype("BYTES") == np.dtype(object)


def test_importing_the_wire_needs_numpy_alone() -> None:
    script = """
import sys, trivet_protos.wire
heavy = {"google.protobuf", "grpc", "ml_dtypes"} & sys.modules.keys()
assert not heavy, heavy
assert trivet_protos.wire.numpy_dtype("BF16").name == "bfloat16" and "ml_dtypes" in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_bf16_without_ml_dtypes_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with refused("BF16 needs the package ml_dtypes; pip install ml_dtypes"):
        numpy_dtype("BF16")


def refused(message: str) -> pytest.RaisesExc[WireError]:
    return pytest.raises(WireError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize(
    ("raw", "datatype", "shape", "message"),
    [
        (
            b"",
            "FP8",
            [0],
            "data type 'FP8' is unknown; use one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, "
            "INT16, INT32, INT64, FP16, FP32, FP64, BF16, BYTES",
        ),
        (
            b"1234567",
            "FP32",
            [1, 2],
            "FP32 of shape [1, 2] takes 8 bytes, but 7 came; send 4 for each element",
        ),
        (
            b"1",
            "INT8",
            [0, 7],
            "INT8 of shape [0, 7] takes 0 bytes, but 1 came; send 1 for each element",
        ),
        (
            b"",
            "INT8",
            [2, -1],
            "dimension 1 of shape [2, -1] is negative; send the size it really has",
        ),
        (
            b"",
            "BYTES",
            [-3],
            "dimension 0 of shape [-3] is negative; send the size it really has",
        ),
        (
            b"",
            "FP32",
            [2**32, 2**32],
            "shape [4294967296, 4294967296] of FP32 is larger than any memory; send its real size",
        ),
        (
            b"",
            "INT64",
            [0, 2**62],
            "shape [0, 4611686018427387904] of INT64 is larger than any memory; send its real size",
        ),
        (
            b"",
            "BYTES",
            [2**62],
            "shape [4611686018427387904] of BYTES is larger than any memory; send its real size",
        ),
        (b"1", "INT8", [1] * 65, "the shape has 65 dimensions; at most 64 are possible"),
        (
            b"1234",
            "FP32",
            [2**50],
            "FP32 of shape [1125899906842624] takes 4503599627370496 bytes, but 4 came; "
            "send 4 for each element",
        ),
        (
            b"\0\0\0\0\0\0\0",
            "BYTES",
            [2**50],
            "BYTES of shape [1125899906842624] has 1125899906842624 elements and takes at least "
            "4503599627370496 bytes, but 7 came; "
            "send a 4-byte little-endian length before each element",
        ),
        (
            b"\4\0\0\0abc",
            "BYTES",
            [1],
            "element 0 of BYTES claims 4 bytes, but 3 are left; "
            "send its real length as 4 bytes, little-endian",
        ),
        (
            b"\0\0\0\0\xff\xff\xff\xff",
            "BYTES",
            [2],
            "element 1 of BYTES claims 4294967295 bytes, but 0 are left; "
            "send its real length as 4 bytes, little-endian",
        ),
        (
            b"\3\0\0\0abc\0",
            "BYTES",
            [2],
            "BYTES ends after element 0, but shape [2] has 2 elements; "
            "send all of them, each behind a 4-byte little-endian length",
        ),
        (
            b"\0\0\0\0\1\0\0\0a",
            "BYTES",
            [1],
            "BYTES has 5 bytes left after the last element of shape [1]; "
            "send as many elements as the shape says",
        ),
    ],
    ids=[
        "unknown data type",
        "too few bytes",
        "bytes of an empty tensor",
        "negative dimension",
        "negative dimension of BYTES",
        "overflowing product",
        "overflowing beside a zero",
        "overflowing BYTES",
        "too many dimensions",
        "more elements than bytes",
        "more BYTES elements than bytes",
        "lying length",
        "largest lying length",
        "truncated",
        "trailing bytes",
    ],
)
def test_raw_bytes_that_are_not_the_tensor_are_refused(
    raw: bytes, datatype: str, shape: Sequence[int], message: str
) -> None:
    with refused(message):
        decode_raw(raw, datatype, shape)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros(1, np.complex64),
            "numpy dtype complex64 has no data type on the wire; use one of BOOL, UINT8, UINT16, "
            "UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, FP32, FP64, BF16, BYTES",
        ),
        (
            np.array([b"a", 3], object),
            "element 1 of BYTES is of type int; give bytes or str",
        ),
        (
            np.array(["a\ud800"], object),
            "element 0 of BYTES cannot be written as UTF-8 "
            "(surrogates not allowed at character 1); give it as bytes",
        ),
    ],
    ids=["complex", "number among bytes", "lone surrogate"],
)
def test_an_array_the_wire_cannot_carry_is_refused(array: np.ndarray, message: str) -> None:
    with refused(message):
        encode_raw(array)


def test_an_eight_bit_float_is_not_taken_for_an_integer() -> None:
    with pytest.raises(WireError, match=r"^numpy dtype float8_e4m3fn has no data type"):
        datatype_of(np.zeros(1, ml_dtypes.float8_e4m3fn))


@pytest.mark.parametrize(
    ("contents", "datatype", "values"),
    [
        (InferTensorContents(bool_contents=[True, False]), "BOOL", [True, False]),
        (InferTensorContents(int_contents=[-128, 127]), "INT8", [-128, 127]),
        (InferTensorContents(int_contents=[-(2**15), 2**15 - 1]), "INT16", [-(2**15), 2**15 - 1]),
        (InferTensorContents(int_contents=[-(2**31), 2**31 - 1]), "INT32", [-(2**31), 2**31 - 1]),
        (InferTensorContents(int64_contents=[-(2**63), 1]), "INT64", [-(2**63), 1]),
        (InferTensorContents(uint_contents=[0, 255]), "UINT8", [0, 255]),
        (InferTensorContents(uint_contents=[0, 2**16 - 1]), "UINT16", [0, 2**16 - 1]),
        (InferTensorContents(uint_contents=[0, 2**32 - 1]), "UINT32", [0, 2**32 - 1]),
        (InferTensorContents(uint64_contents=[0, 2**64 - 1]), "UINT64", [0, 2**64 - 1]),
        (InferTensorContents(fp32_contents=[0.1, -2]), "FP32", [float(np.float32(0.1)), -2.0]),
        (InferTensorContents(fp64_contents=[0.1, -2]), "FP64", [0.1, -2.0]),
        (InferTensorContents(bytes_contents=[b"", b"ab"]), "BYTES", [b"", b"ab"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_typed_contents_are_read_from_their_own_field(
    contents: InferTensorContents, datatype: str, values: list[object]
) -> None:
    decoded = decode_typed(contents, datatype, [2, 1])
    assert decoded.dtype == numpy_dtype(datatype)
    assert decoded.shape == (2, 1)
    assert decoded.ravel().tolist() == values
    assert not decoded.flags.writeable


def test_an_empty_tensor_needs_no_contents() -> None:
    assert decode_typed(InferTensorContents(), "INT8", [0, 3]).shape == (0, 3)
    assert decode_typed(InferTensorContents(), "BYTES", [0]).shape == (0,)


@pytest.mark.parametrize(
    ("contents", "datatype", "shape", "message"),
    [
        (
            InferTensorContents(int_contents=[1]),
            "INT64",
            [1],
            "INT64 came in int_contents; send it in int64_contents, and nothing else",
        ),
        (
            InferTensorContents(fp32_contents=[1], fp64_contents=[1]),
            "FP32",
            [1],
            "FP32 came in fp64_contents; send it in fp32_contents, and nothing else",
        ),
        (
            InferTensorContents(),
            "FP32",
            [2],
            "FP32 of shape [2] has 2 elements, but fp32_contents holds 0; "
            "send one value per element",
        ),
        (
            InferTensorContents(bytes_contents=[b"a"] * 3),
            "BYTES",
            [2],
            "BYTES of shape [2] has 2 elements, but bytes_contents holds 3; "
            "send one value per element",
        ),
        (
            InferTensorContents(int_contents=[0, 128]),
            "INT8",
            [2],
            "int_contents[1] is 128, but INT8 goes from -128 to 127; "
            "send a value in this range or a wider data type",
        ),
        (
            InferTensorContents(int_contents=[-(2**15) - 1]),
            "INT16",
            [1],
            "int_contents[0] is -32769, but INT16 goes from -32768 to 32767; "
            "send a value in this range or a wider data type",
        ),
        (
            InferTensorContents(uint_contents=[256]),
            "UINT8",
            [1],
            "uint_contents[0] is 256, but UINT8 goes from 0 to 255; "
            "send a value in this range or a wider data type",
        ),
        (
            InferTensorContents(uint_contents=[2**16]),
            "UINT16",
            [1],
            "uint_contents[0] is 65536, but UINT16 goes from 0 to 65535; "
            "send a value in this range or a wider data type",
        ),
        (
            InferTensorContents(fp32_contents=[1]),
            "FP16",
            [1],
            "FP16 has no typed contents; send it in raw_input_contents",
        ),
        (
            InferTensorContents(uint_contents=[1]),
            "BF16",
            [1],
            "BF16 has no typed contents; send it in raw_input_contents",
        ),
        (
            InferTensorContents(int_contents=[1]),
            "INT32",
            [-1],
            "dimension 0 of shape [-1] is negative; send the size it really has",
        ),
        (
            InferTensorContents(int_contents=[1]),
            "INT32",
            [2**32, 2**32],
            "shape [4294967296, 4294967296] of INT32 is larger than any memory; send its real size",
        ),
    ],
    ids=[
        "wrong field",
        "two fields",
        "nothing",
        "too many",
        "INT8 out of range",
        "INT16 out of range",
        "UINT8 out of range",
        "UINT16 out of range",
        "FP16",
        "BF16",
        "negative dimension",
        "overflowing product",
    ],
)
def test_typed_contents_that_are_not_the_tensor_are_refused(
    contents: InferTensorContents, datatype: str, shape: Sequence[int], message: str
) -> None:
    with refused(message):
        decode_typed(contents, datatype, shape)
