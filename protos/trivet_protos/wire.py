"""Tensors as the KServe v2 protocol carries them: numpy arrays to bytes and back.

Fixed-size elements travel little-endian in C order. A BYTES element is a 4-byte little-endian
length and that many bytes; in numpy it is an object array of `bytes`. FP16 and BF16 travel raw
only. What comes from the other end is checked before anything is allocated: a `WireError` names the
cause and the cure, and the caller adds which tensor it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Protocol

import numpy as np

_LENGTH = Struct("<I")  # in front of every BYTES element
_MAX_RANK = 64  # numpy's own limit
_MAX_BYTES = 2**63  # of numpy's index arithmetic, like the int64 dimensions of the protocol
_SHOWN = 40  # characters of a client's word that a message repeats


class WireError(ValueError):
    """Not the tensor it claims to be, or none the protocol can carry. Says why, and the cure."""


class TypedContents(Protocol):
    """What is read of an `inference.InferTensorContents`; exactly one field is filled."""

    @property
    def bool_contents(self) -> Sequence[bool]: ...
    @property
    def int_contents(self) -> Sequence[int]: ...
    @property
    def int64_contents(self) -> Sequence[int]: ...
    @property
    def uint_contents(self) -> Sequence[int]: ...
    @property
    def uint64_contents(self) -> Sequence[int]: ...
    @property
    def fp32_contents(self) -> Sequence[float]: ...
    @property
    def fp64_contents(self) -> Sequence[float]: ...
    @property
    def bytes_contents(self) -> Sequence[bytes]: ...


@dataclass(frozen=True, slots=True)
class Datatype:
    """One data type of the protocol."""

    numpy: str  # dtype as numpy spells it
    size: int | None  # bytes of an element; None: each element has its own
    contents: str | None  # the field of TypedContents that carries it; None: raw only


DATATYPES: Mapping[str, Datatype] = {
    "BOOL": Datatype("?", 1, "bool_contents"),
    "UINT8": Datatype("<u1", 1, "uint_contents"),
    "UINT16": Datatype("<u2", 2, "uint_contents"),
    "UINT32": Datatype("<u4", 4, "uint_contents"),
    "UINT64": Datatype("<u8", 8, "uint64_contents"),
    "INT8": Datatype("<i1", 1, "int_contents"),
    "INT16": Datatype("<i2", 2, "int_contents"),
    "INT32": Datatype("<i4", 4, "int_contents"),
    "INT64": Datatype("<i8", 8, "int64_contents"),
    "FP16": Datatype("<f2", 2, None),
    "FP32": Datatype("<f4", 4, "fp32_contents"),
    "FP64": Datatype("<f8", 8, "fp64_contents"),
    "BF16": Datatype("bfloat16", 2, None),
    "BYTES": Datatype("O", None, "bytes_contents"),
}

_CONTENTS = tuple(dict.fromkeys(d.contents for d in DATATYPES.values() if d.contents))
_NUMPY = {name: np.dtype(d.numpy) for name, d in DATATYPES.items() if name != "BF16"}
_PLAIN = {name: dtype for name, dtype in _NUMPY.items() if name not in ("BOOL", "BYTES")}
_NAMES = {(dtype.kind, dtype.itemsize): name for name, dtype in _NUMPY.items()}
_TEXT_KINDS = "OSUT"  # objects, bytes_, str_, StringDType: all travel as BYTES


def numpy_dtype(datatype: str) -> np.dtype:
    """The numpy dtype that holds a data type of the protocol.

    BF16 needs the package ml_dtypes. Raises WireError for a name the protocol does not know.
    """
    if datatype == "BF16":
        return _bfloat16()
    _known(datatype)
    return _NUMPY[datatype]


def datatype_of(array: np.ndarray) -> str:
    """The protocol's name for an array's elements. Raises WireError where it has none."""
    dtype = array.dtype
    if name := _NAMES.get((dtype.kind, dtype.itemsize)):  # dtype.name would take 1 us
        return name
    if dtype.kind in _TEXT_KINDS:
        return "BYTES"
    if dtype.name == "bfloat16":
        return "BF16"
    raise WireError(f"numpy dtype {dtype.name} has no data type on the wire; {_one_of()}")


def element_size(datatype: str) -> int | None:
    """Bytes of one element; None for BYTES. Raises WireError for an unknown name."""
    return _known(datatype).size


def decode_raw(raw: bytes | memoryview, datatype: str, shape: Sequence[int]) -> np.ndarray:
    """Read a tensor from its raw bytes.

    Returns a read-only array of `shape`: a view of `raw`, which it keeps alive, or for BYTES an
    object array of `bytes`. BOOL counts every byte but 0 as true, as C does; only where one is
    neither 0 nor 1 is the tensor copied.
    Raises WireError: unknown data type, impossible shape, or bytes that do not fill it exactly.
    """
    if type(raw) is bytes and datatype in _PLAIN and shape and min(shape) > 0:
        dtype = _PLAIN[datatype]  # what nearly every tensor is: nothing can be wrong but its size
        if len(shape) <= _MAX_RANK and len(raw) == math.prod(shape) * dtype.itemsize:
            return np.frombuffer(raw, dtype).reshape(shape)
    size = element_size(datatype)
    count = _element_count(shape, datatype)
    if size is None:
        return _objects(_split(bytes(raw), count, shape), shape)
    found = memoryview(raw).nbytes
    if found != count * size:
        raise WireError(
            f"{datatype} of shape {list(shape)} takes {count * size} bytes, but {found} came; "
            f"send {size} for each element"
        )
    array = np.frombuffer(raw, _safe_dtype(datatype), count) if count else _empty(datatype)
    return _frozen((_as_bools(array) if datatype == "BOOL" else array).reshape(shape))


def encode_raw(array: np.ndarray) -> bytes:
    """Write a tensor as raw bytes: C order, little-endian, whatever the array's own layout.

    Object arrays hold `bytes` or `str`, and `str` becomes UTF-8; numpy's str_ and bytes_ arrays are
    taken as well (numpy itself drops the trailing zero bytes of a bytes_ element).
    Raises WireError: elements of another type, or a dtype the protocol has no name for.
    """
    datatype = datatype_of(array)
    if datatype == "BYTES":
        return _join(array.ravel().tolist())
    return array.astype(numpy_dtype(datatype), copy=False).tobytes()


def decode_typed(contents: TypedContents, datatype: str, shape: Sequence[int]) -> np.ndarray:
    """Read a tensor from typed contents. Returns a read-only array of `shape`.

    Raises WireError: unknown or raw-only data type, impossible shape, values in another field than
    the data type's own, too few or too many of them, or one that the data type cannot hold.
    """
    field = _known(datatype).contents
    if field is None:
        raise WireError(f"{datatype} has no typed contents; send it in raw_input_contents")
    for other in _CONTENTS:
        if other != field and len(getattr(contents, other)):
            raise WireError(f"{datatype} came in {other}; send it in {field}, and nothing else")
    count = _element_count(shape, datatype)
    values = getattr(contents, field)
    if len(values) != count:
        raise WireError(
            f"{datatype} of shape {list(shape)} has {count} elements, but {field} holds "
            f"{len(values)}; send one value per element"
        )
    if datatype == "BYTES":
        return _objects(list(values), shape)
    return _frozen(_narrowed(values, count, datatype, field).reshape(shape))


def _known(datatype: str) -> Datatype:
    if datatype not in DATATYPES:
        raise WireError(f"data type {datatype[:_SHOWN]!r} is unknown; {_one_of()}")
    return DATATYPES[datatype]


def _one_of() -> str:
    return f"use one of {', '.join(DATATYPES)}"


def _bfloat16() -> np.dtype:
    try:
        import ml_dtypes
    except ImportError as error:
        raise WireError("BF16 needs the package ml_dtypes; pip install ml_dtypes") from error
    dtype: np.dtype = np.dtype(ml_dtypes.bfloat16)
    return dtype


def _element_count(shape: Sequence[int], datatype: str) -> int:
    """Elements of a tensor, if numpy could hold one of that shape at all."""
    if len(shape) > _MAX_RANK:
        raise WireError(f"the shape has {len(shape)} dimensions; at most {_MAX_RANK} are possible")
    for place, dimension in enumerate(shape):
        if dimension < 0:
            raise WireError(
                f"dimension {place} of shape {list(shape)} is negative; send the size it really has"
            )
    # Without the zeros: numpy refuses [0, 2**62, 2**62] too, though it has no elements.
    memory = math.prod(filter(None, shape)) * numpy_dtype(datatype).itemsize
    if memory >= _MAX_BYTES:
        raise WireError(
            f"shape {list(shape)} of {datatype} is larger than any memory; send its real size"
        )
    return math.prod(shape)


def _safe_dtype(datatype: str) -> np.dtype:
    """The dtype to look at bytes with: a numpy bool over a byte other than 0 and 1 misbehaves."""
    return np.dtype("u1") if datatype == "BOOL" else numpy_dtype(datatype)


def _empty(datatype: str) -> np.ndarray:
    return np.empty(0, _safe_dtype(datatype))


def _as_bools(octets: np.ndarray) -> np.ndarray:
    """View bytes as bools where all are 0 or 1; otherwise compare, which copies."""
    if octets.max(initial=0) > 1:
        truth: np.ndarray = octets != 0
        return truth
    return octets.view(np.bool_)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _objects(elements: list[bytes], shape: Sequence[int]) -> np.ndarray:
    array = np.empty(len(elements), object)
    array[:] = elements
    return _frozen(array.reshape(shape))


def _split(raw: bytes, count: int, shape: Sequence[int]) -> list[bytes]:
    """Cut raw BYTES contents into `count` elements, each behind its length."""
    if count * _LENGTH.size > len(raw):
        raise WireError(
            f"BYTES of shape {list(shape)} has {count} elements and takes at least "
            f"{count * _LENGTH.size} bytes, but {len(raw)} came; "
            "send a 4-byte little-endian length before each element"
        )
    elements = []
    place, end, header, length_at = 0, len(raw), _LENGTH.size, _LENGTH.unpack_from
    for index in range(count):
        if place + header > end:
            raise WireError(
                f"BYTES ends after element {index - 1}, but shape {list(shape)} has {count} "
                "elements; send all of them, each behind a 4-byte little-endian length"
            )
        start = place + header
        place = start + length_at(raw, place)[0]
        if place > end:
            raise WireError(
                f"element {index} of BYTES claims {place - start} bytes, but {end - start} are "
                "left; send its real length as 4 bytes, little-endian"
            )
        elements.append(raw[start:place])
    if place != end:
        raise WireError(
            f"BYTES has {end - place} bytes left after the last element of shape {list(shape)}; "
            "send as many elements as the shape says"
        )
    return elements


def _join(elements: Iterable[object]) -> bytes:
    parts = []
    for index, element in enumerate(elements):
        encoded = _element_bytes(element, index)
        parts.append(_LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)


def _element_bytes(element: object, index: int) -> bytes:
    if isinstance(element, bytes):
        return element
    if not isinstance(element, str):
        kind = type(element).__name__
        raise WireError(f"element {index} of BYTES is of type {kind}; give bytes or str")
    try:
        return element.encode()
    except UnicodeEncodeError as error:
        raise WireError(
            f"element {index} of BYTES cannot be written as UTF-8 ({error.reason} at character "
            f"{error.start}); give it as bytes"
        ) from error


def _narrowed(values: Sequence[float], count: int, datatype: str, field: str) -> np.ndarray:
    """Typed values in the data type's own dtype, which may be smaller than that of the field."""
    dtype = numpy_dtype(datatype)
    if dtype.kind not in "iu" or dtype.itemsize >= 4:
        return np.fromiter(values, dtype, count)
    wide = np.fromiter(values, np.int64, count)
    limits = np.iinfo(dtype)
    outside = np.flatnonzero((wide < limits.min) | (wide > limits.max))
    if outside.size:
        raise WireError(
            f"{field}[{outside[0]}] is {wide[outside[0]]}, but {datatype} goes from {limits.min} "
            f"to {limits.max}; send a value in this range or a wider data type"
        )
    return wide.astype(dtype)
