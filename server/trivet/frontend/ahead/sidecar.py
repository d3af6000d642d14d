"""What travels with a message: which texts were tokenized by what, and what came of it.

    head      number of the tokenizer's load, of answers; four times in nanoseconds
    asked     length and JSON of the parameters that all were asked with
    answer    sizes: of key and parameters, dimensions and bytes of every output; key; parameters;
              at a multiple of 8 each output's bytes
    key       of each input there is: its place, dimensions, and texts with their lengths

What the arrays are called, what they hold and how many dimensions they have is not said: both ends
know it from the model's config. The owner reads one for each text, so this is as lean as may be:
it has to cost him less than tokenizing in batches does, which for 8 tokens takes 15 us.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from struct import Struct, error
from typing import NamedTuple

import numpy as np

from trivet.backend.contract import Answer
from trivet.config import ModelConfig
from trivet.request import Parameters, ParameterValue, Tensors
from trivet_protos import wire

_HEAD = Struct("<IIQQQQ")
_LENGTH = Struct("<I")
_ALIGNED = 8


class Times(NamedTuple):
    """When it began, on the clock that processes share, and what each stage took; nanoseconds."""

    began_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int


class Told(NamedTuple):
    """What one side-car says. asked: the parameters of every request; answers: by their keys."""

    times: Times
    asked: Parameters
    answers: Mapping[bytes, Answer]


class _Input(NamedTuple):
    name: str
    rank: int
    dims: Struct  # its place, and its dimensions
    place: int


class _Output(NamedTuple):
    name: str
    rank: int
    dtype: np.dtype | None  # None for BYTES


def number_of(data: bytes) -> int:
    """Whose answers these are. Raises ValueError."""
    if len(data) < _HEAD.size:
        raise ValueError(f"{len(data)} bytes are no head")
    return int(_HEAD.unpack_from(data)[0])


class Form:
    """How the answers of one model are written."""

    def __init__(self, config: ModelConfig) -> None:
        """config: complete; its inputs are BYTES."""
        batches = config.max_batch_size > 0
        self._inputs = [
            _input(place, spec.name, len(spec.dims) + batches)
            for place, spec in enumerate(config.inputs)
        ]
        self._outputs = [
            _Output(spec.name, len(spec.dims) + batches, _dtype(spec.datatype))
            for spec in config.outputs
        ]
        self._sizes = Struct(f"<II{sum(output.rank + 1 for output in self._outputs)}I")

    def key(self, inputs: Tensors) -> bytes:
        """Equal for equal inputs. Raises ValueError for some that the model does not take."""
        parts: list[bytes] = []
        for name, rank, dims, place in self._inputs:
            if (array := inputs.get(name)) is not None:
                if array.ndim != rank:
                    raise ValueError(f"{array.ndim} dimensions, not {rank}")
                parts.append(dims.pack(place, *array.shape))
                for text in array.ravel().tolist():
                    parts += (_LENGTH.pack(len(text)), text)
        return b"".join(parts)

    def written(
        self,
        number: int,
        times: Times,
        asked: Parameters,
        answers: Sequence[tuple[bytes, Answer]],
    ) -> bytes:
        """answers: each with the key of its inputs."""
        data = bytearray(_HEAD.pack(number, len(answers), *times))
        said = json.dumps(dict(asked)).encode()
        data += _LENGTH.pack(len(said))
        data += said
        for key, answer in answers:
            parameters = json.dumps(dict(answer.parameters)).encode()
            sizes, raws = [len(key), len(parameters)], []
            for name, _, dtype in self._outputs:
                array = answer.outputs[name]
                raw = array.tobytes() if dtype else wire.encode_raw(array)
                sizes += (*array.shape, len(raw))
                raws.append(raw)
            data += self._sizes.pack(*sizes)
            data += key
            data += parameters
            for raw in raws:
                data += bytes(-len(data) % _ALIGNED)
                data += raw
        return bytes(data)

    def read(self, data: bytes) -> Told:
        """Arrays are views of `data`. Raises ValueError."""
        try:
            _, count, *times = _HEAD.unpack_from(data)
            (length,) = _LENGTH.unpack_from(data, _HEAD.size)
            asked_at = _HEAD.size + _LENGTH.size
            at, found = asked_at + length, dict[bytes, Answer]()
            asked = _parameters(data[asked_at:at])
            for _ in range(count):
                at = self._read(data, at, found)
        except (error, wire.WireError, RecursionError) as fault:
            raise ValueError(str(fault)) from None
        if at != len(data):
            raise ValueError(f"it ends {at - len(data)} bytes too early or too late")
        return Told(Times(*times), asked, found)

    def _read(self, data: bytes, at: int, found: dict[bytes, Answer]) -> int:
        """Add one answer, and give where the next begins."""
        sizes = self._sizes.unpack_from(data, at)
        key_at = at + self._sizes.size
        parameters_at = key_at + sizes[0]
        at = parameters_at + sizes[1]
        parameters = _parameters(data[parameters_at:at])
        outputs, place = dict[str, np.ndarray](), 2
        for name, rank, dtype in self._outputs:
            shape, length = sizes[place : place + rank], sizes[place + rank]
            place += rank + 1
            at += -at % _ALIGNED
            outputs[name] = _array(data, at, shape, length, dtype)
            at += length
        found[data[key_at:parameters_at]] = Answer(outputs, parameters)
        return at


def _array(
    data: bytes, at: int, shape: tuple[int, ...], length: int, dtype: np.dtype | None
) -> np.ndarray:
    if dtype is None:
        return wire.decode_raw(data[at : at + length], "BYTES", shape)
    if prod(shape) * dtype.itemsize != length or at + length > len(data):
        raise ValueError(f"{length} bytes of shape {list(shape)}")
    return np.ndarray(shape, dtype, data, at)


def _input(place: int, name: str, rank: int) -> _Input:
    return _Input(name, rank, Struct(f"<B{rank}I"), place)


def _dtype(datatype: str) -> np.dtype | None:
    return None if datatype == "BYTES" else wire.numpy_dtype(datatype)


@lru_cache(maxsize=1024)  # most say how many tokens there are, and no more
def _parameters(text: bytes) -> Mapping[str, ParameterValue]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("parameters that are none")
    if not all(isinstance(value, bool | int | float | str) for value in found.values()):
        raise ValueError("a parameter that is no plain value")
    return found
