"""What a load sends: random texts, the texts of a file, or tensors, made before the clock runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trivet_client.bench.distribution import WORDS
from trivet_client.commands.json_tensors import tensor
from trivet_client.errors import invalid
from trivet_client.values import ModelMetadata, TensorMetadata
from trivet_protos.wire import numpy_dtype

TEXT = "TEXT"  # the name of a pipeline's text input
TARGET = "TARGET"  # and of the one for words that fill-mask is restricted to, mostly left out


def texts_of_file(path: Path) -> list[str]:
    """Its lines that are not empty. Raises InvalidArgument if there is none, or no UTF-8."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise invalid(f"--texts {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise invalid(f"--texts {path} is not UTF-8 (byte {error.start}); convert it") from error
    found = [line for line in lines if line.strip()]
    if not found:
        raise invalid(f"--texts {path} holds no text; give one per line")
    return found


def grouped(texts: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Requests of `size` texts each; what is left over at the end joins texts from the start."""
    count = -(-len(texts) // size)
    turned = [texts[index % len(texts)] for index in range(count * size)]
    return [tuple(turned[start : start + size]) for start in range(0, len(turned), size)]


def takes_text(metadata: ModelMetadata) -> bool:
    """Whether text is all that a model needs."""
    needed = [(spec.name, spec.datatype) for spec in metadata.inputs if spec.name != TARGET]
    return needed == [(TEXT, "BYTES")]


def fills_masks(metadata: ModelMetadata) -> bool:
    """Whether a model of texts wants a [MASK] in each: it answers with where they were."""
    return any(spec.name == "MASK_POSITION" for spec in metadata.outputs)


def text_tensors(
    requests: Sequence[Sequence[str]], metadata: ModelMetadata
) -> list[Mapping[str, np.ndarray]]:
    """Texts as a model's input TEXT: one row each where it has a batch dimension."""
    (spec,) = (spec for spec in metadata.inputs if spec.name == TEXT)
    inner = (1,) * (len(spec.shape) - 1)
    return [
        {spec.name: np.array(list(texts), object).reshape((len(texts), *inner))}
        for texts in requests
    ]


def tensors(
    metadata: ModelMetadata, given: Sequence[str], shapes: Sequence[str], seed: int
) -> dict[str, np.ndarray]:
    """One request: inputs given as NAME=JSON, the others random by NAME:SHAPE or their own shape.

    Random integers are 0 or 1, which are in range as a token's id, a mask and a type; floats are
    from 0 to 1. Raises InvalidArgument, which names the flag.
    """
    specs = {spec.name: spec for spec in metadata.inputs}
    values = dict(_assigned(item, specs) for item in given)
    wanted = dict(_shape(item, specs) for item in shapes)
    rng = np.random.default_rng(seed)
    return {
        name: values[name] if name in values else _random(spec, wanted.get(name), rng)
        for name, spec in specs.items()
    }


def _assigned(item: str, specs: Mapping[str, TensorMetadata]) -> tuple[str, np.ndarray]:
    name, equals, text = item.partition("=")
    if not equals:
        raise invalid(f"--input {item} is not NAME=JSON, for example 'IDS=[[101, 102]]'")
    spec = _spec(name, specs, "--input")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise invalid(f"--input {name} is not JSON: {error}") from error
    return name, tensor(value, spec)


def _shape(item: str, specs: Mapping[str, TensorMetadata]) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = item.rpartition(":")
    spec = _spec(name, specs, "--shape")
    if not all(size.isdigit() for size in sizes.split(",")):
        raise invalid(f"--shape {item} is not NAME:SIZE,SIZE, for example IDS:1,16")
    shape = tuple(map(int, sizes.split(",")))
    if len(shape) != len(spec.shape) or not all(
        wanted in (-1, size) for size, wanted in zip(shape, spec.shape, strict=True)
    ):
        raise invalid(f"--shape {item}: the model takes {list(spec.shape)}, where -1 is any size")
    return name, shape


def _spec(name: str, specs: Mapping[str, TensorMetadata], flag: str) -> TensorMetadata:
    if name not in specs:
        raise invalid(f"{flag} {name}: no such input; the model has {', '.join(specs)}")
    return specs[name]


def _random(
    spec: TensorMetadata, shape: tuple[int, ...] | None, rng: np.random.Generator
) -> np.ndarray:
    if shape is None:
        # The first dimension may be the batch's: one row. Any other must be told.
        shape = (1, *spec.shape[1:]) if spec.shape[:1] == (-1,) else spec.shape
    if -1 in shape:
        example = ",".join("16" if size < 0 else str(size) for size in shape)
        raise invalid(
            f"input '{spec.name}' has shape {list(spec.shape)}, where -1 is any size; "
            f"say which with --shape {spec.name}:{example}"
        )
    if spec.datatype == "BYTES":
        return rng.choice(WORDS, shape).astype(object)
    dtype = numpy_dtype(spec.datatype)
    if spec.datatype == "BOOL" or spec.datatype.startswith(("INT", "UINT")):
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.random(shape).astype(dtype)
