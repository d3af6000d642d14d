"""What messages are made of: numbers, texts, and tensors by name, type and shape.

A tensor is its name, a code for its datatype, its dimensions and its elements, little-endian in C
order, at an offset that is a multiple of 16. Elements of BYTES are preceded by all their lengths.
Nothing is executed to read any of it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

_DATATYPES: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BF16": "<u2",  # as it travels; in arrays it is ml_dtypes' type where that is installed
    "BYTES": "O",
}
_NAMES = tuple(_DATATYPES)
_CODES = {name: code for code, name in enumerate(_NAMES)}
_DTYPES = tuple(np.dtype(spelled) for spelled in _DATATYPES.values())
_BY_DTYPE = {
    (dtype.kind, dtype.itemsize): name
    for name, dtype in zip(_NAMES, _DTYPES, strict=True)
    if name != "BF16"
}

_BYTE = np.dtype(np.uint8)

_ALIGNED = 16
_SMALL = 4096  # bytes up to which elements are copied beside what is around them
_NUMBER = struct.Struct("<q")
_LENGTH = struct.Struct("<I")
_TENSOR = struct.Struct("<HBBQ")  # bytes of the name, datatype, dimensions, bytes of the elements


class Kind(IntEnum):
    """What a message is; it begins with this number."""

    # To the child.
    DESCRIBE = 1  # text (JSON): where model.py is, and the config -> TOLD or REFUSED
    START = 2  # text (JSON): the arguments of initialize -> READY or REFUSED
    EXECUTE = 3  # count, requests -> ANSWERS or FAILED; of a stream SENT, ..., DONE
    CLOSE = 4  # -> it ends
    RESULT = 5  # what another model answered: number of the call, answer
    # To the server.
    TOLD = 10  # text (JSON): what the file holds
    REFUSED = 11  # text (JSON): what is wrong with it
    READY = 12
    ANSWERS = 13  # count, answers
    FAILED = 14  # code, text: the whole batch failed
    SENT = 15  # final, answer: one of a stream
    DONE = 16  # nothing more comes to this request
    CALL = 17  # ask another model: number of the call, model, version, request


class Unreadable(Exception):
    """No message of ours, or no tensor that there can be."""


@dataclass(frozen=True, slots=True)
class Named:
    """A tensor as it travels: BF16 without ml_dtypes is an array of its bits."""

    datatype: str
    array: np.ndarray


def datatype_of(array: np.ndarray) -> str:
    """The protocol's name for an array's elements; "" where it has none."""
    dtype = array.dtype
    if name := _BY_DTYPE.get((dtype.kind, dtype.itemsize)):
        return name
    if dtype.kind in "OSUT":
        return "BYTES"
    return "BF16" if dtype.name == "bfloat16" else ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A tensor of which everything is known to be writable; its elements are views where can be."""

    name: bytes
    code: int
    shape: tuple[int, ...]
    elements: bytes | memoryview


def prepared(name: str, named: Named) -> Prepared:
    """Raises Unreadable for BYTES whose elements are neither bytes nor text."""
    array, code = named.array, _CODES[named.datatype]
    if named.datatype == "BYTES":
        return Prepared(name.encode(), code, array.shape, _joined(name, array))
    stored = array.view(_DTYPES[code]) if named.datatype == "BF16" else array
    flat = np.ascontiguousarray(stored, _DTYPES[code]).reshape(-1)
    return Prepared(name.encode(), code, array.shape, flat.view(_BYTE).data)


class Writer:
    """A message while it is made. `parts` is what `Sending.send` takes."""

    def __init__(self, kind: Kind) -> None:
        self._done: list[bytes | memoryview] = []
        self._size = 0
        self._open = bytearray()
        self.number(kind)

    @property
    def parts(self) -> list[bytes | memoryview]:
        self._close()
        return self._done

    def number(self, value: int) -> None:
        self._open += _NUMBER.pack(value)

    def text(self, value: str) -> None:
        encoded = value.encode("utf-8", "surrogatepass")
        self._open += _LENGTH.pack(len(encoded))
        self._open += encoded

    def json(self, value: Any) -> None:
        """Anything JSON has; an empty object is an empty text."""
        self.text(json.dumps(value) if value else "")

    def tensors(self, tensors: Sequence[Prepared]) -> None:
        self.number(len(tensors))
        for tensor in tensors:
            self._tensor(tensor)

    def _tensor(self, tensor: Prepared) -> None:
        shape, elements = tensor.shape, tensor.elements
        self._open += _TENSOR.pack(len(tensor.name), tensor.code, len(shape), len(elements))
        self._open += tensor.name
        self._open += struct.pack(f"<{len(shape)}q", *shape)
        self._open += bytes(-(self._size + len(self._open)) % _ALIGNED)
        if len(elements) <= _SMALL:
            self._open += elements
        else:
            self._close()
            self._append(elements)

    def _close(self) -> None:
        if self._open:
            self._append(bytes(self._open))
            self._open = bytearray()

    def _append(self, part: bytes | memoryview) -> None:
        self._done.append(part)
        self._size += len(part)


class Reader:
    """Reads a message in the order it was written. Arrays are views of it, and can be written to.

    Raises Unreadable wherever it is no such message.
    """

    def __init__(self, message: bytearray) -> None:
        self._message = message
        self._at = 0
        try:
            self.kind = Kind(self.number())
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def number(self) -> int:
        (value,) = self._unpack(_NUMBER)
        return int(value)

    def text(self) -> str:
        (length,) = self._unpack(_LENGTH)
        try:
            return self._bytes(length).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise Unreadable(str(error)) from error

    def json(self) -> Any:
        text = self.text()
        try:
            return json.loads(text) if text else {}
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def tensors(self) -> dict[str, Named]:
        return dict(self._tensor() for _ in range(self.number()))

    def _tensor(self) -> tuple[str, Named]:
        length, code, rank, size = self._unpack(_TENSOR)
        try:
            name, datatype = self._bytes(length).decode(), _NAMES[code]
            shape = struct.unpack(f"<{rank}q", self._bytes(8 * rank))
            self._at += -self._at % _ALIGNED
            start, self._at = self._at, self._at + size
            if datatype == "BYTES":
                return name, Named(datatype, _split(self._message, start, self._at, shape))
            count = math.prod(shape)
            array = np.frombuffer(self._message, _DTYPES[code], count, start) if count else None
            if array is None:
                array = np.empty(0, _DTYPES[code])
            if array.nbytes != size:
                raise Unreadable(f"tensor '{name}' of {size} bytes has shape {list(shape)}")
            return name, Named(datatype, _as_array(array.reshape(shape), datatype))
        except (ValueError, IndexError, OverflowError, struct.error) as error:
            raise Unreadable(f"not a tensor: {error}") from error

    def _unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        try:
            values = form.unpack_from(self._message, self._at)
        except struct.error as error:
            raise Unreadable(str(error)) from error
        self._at += form.size
        return values

    def _bytes(self, length: int) -> bytes:
        found = bytes(self._message[self._at : self._at + length])
        if len(found) != length:
            raise Unreadable(f"{len(found)} of {length} bytes are there")
        self._at += length
        return found


def _as_array(array: np.ndarray, datatype: str) -> np.ndarray:
    if datatype != "BF16":
        return array
    try:
        import ml_dtypes
    except ImportError:
        return array
    return array.view(ml_dtypes.bfloat16)


def _joined(name: str, array: np.ndarray) -> bytes:
    """The lengths of all elements, and then the elements."""
    elements = [_element(name, value) for value in array.ravel().tolist()]
    return np.fromiter(map(len, elements), "<u4", len(elements)).tobytes() + b"".join(elements)


def _element(name: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise Unreadable(f"'{name}' holds a {type(value).__name__}, and is BYTES; give bytes or text")


def _split(message: bytearray, start: int, end: int, shape: tuple[int, ...]) -> np.ndarray:
    count = math.prod(shape)
    if not 0 <= 4 * count <= end - start:
        raise Unreadable(f"BYTES of shape {list(shape)} in {end - start} bytes")
    lengths = np.frombuffer(message, "<u4", count, start).tolist() if count else []
    found = np.empty(count, object)
    at = start + 4 * count
    for place, length in enumerate(lengths):
        found[place] = bytes(message[at : at + length])
        at += length
    if at != end or end > len(message):
        raise Unreadable(f"BYTES of shape {list(shape)} in {end - start} bytes")
    return found.reshape(shape)
