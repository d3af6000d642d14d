"""Which dimensions of a TorchScript model agree, found by trying: its file tells nothing of them.

The model is run on zeros and ones of sizes that are prime numbers; an output dimension of an
input's size, twice, follows that input. Without this a shorter request of a batch would get answers
padded to the longest. Takes some ms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np

from trivet.backend.contract import Signature
from trivet.config import TensorSpec
from trivet.request import Tensors
from trivet_protos.wire import numpy_dtype

Run = Callable[[Tensors], Tensors]  # raises whatever it likes
_Place = tuple[str, int]  # input, dimension
_Sizes = Mapping[_Place, int]

BATCH = "batch"
_TRIES = ((3, (7, 11, 13, 17)), (2, (5, 19, 23, 29)))  # rows, and sizes of dimensions that vary


def with_symbols(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], max_batch_size: int, run: Run
) -> Signature:
    """The config's tensors as the engine sees them: the batch in front, and with symbols.

    run: the model. Where it does not run on made-up values, dimensions have no symbols.
    """
    rows = [min(rows, max_batch_size) for rows, _ in _TRIES]
    in_front = (-1,) if max_batch_size else ()
    ins = [replace(spec, dims=(*in_front, *spec.dims), symbols=()) for spec in inputs]
    outs = [replace(spec, dims=(*in_front, *spec.dims), symbols=()) for spec in outputs]
    odd = [
        partial(_by_axis_but_for, some)
        for count in (2, 1)  # the freest first; of two that are left, one alone is all alone
        if len(ins) > count + 1
        for some in combinations([spec.name for spec in ins], count)
    ]
    groupings: list[Callable[[str, int], str]] = [_alone, *odd, _by_axis, _together]
    for grouped in groupings:
        names = {
            (spec.name, axis): BATCH if max_batch_size and axis == 0 else grouped(spec.name, axis)
            for spec in ins
            for axis, size in enumerate(spec.dims)
            if size == -1
        }
        tried = [_try(ins, names, rows[number], number, run) for number in range(len(_TRIES))]
        if all(found is not None for found in tried):
            return _signature(ins, outs, names, [found for found in tried if found is not None])
    return _signature(ins, outs, {}, [])


_Found = tuple[Mapping[str, int], Tensors]  # sizes by symbol, and what came out


def _alone(name: str, axis: int) -> str:
    return f"{name}.{axis}"


def _by_axis(name: str, axis: int) -> str:
    return f"axis.{axis}"


def _by_axis_but_for(odd: Collection[str], name: str, axis: int) -> str:
    """As in fill-mask: ids, attention mask and segments agree, masks and targets are fewer."""
    return _alone(name, axis) if name in odd else _by_axis(name, axis)


def _together(name: str, axis: int) -> str:
    return "length"


def _try(
    inputs: Sequence[TensorSpec], names: Mapping[_Place, str], rows: int, number: int, run: Run
) -> _Found | None:
    symbols = [symbol for symbol in dict.fromkeys(names.values()) if symbol != BATCH]
    primes = _TRIES[number][1]
    if len(symbols) > len(primes):
        return None
    sizes = {**dict(zip(symbols, primes, strict=False)), BATCH: max(rows, 1)}
    made = {spec.name: _ones(spec, names, sizes) for spec in inputs}
    try:
        return sizes, run(made)
    except Exception:  # the model says no to these sizes, in whatever way
        return None


def _ones(spec: TensorSpec, names: Mapping[_Place, str], sizes: Mapping[str, int]) -> np.ndarray:
    shape = [
        sizes[names[spec.name, axis]] if size == -1 else size for axis, size in enumerate(spec.dims)
    ]
    if spec.datatype == "BYTES":
        return np.full(shape, b"a", dtype=object)
    return np.ones(shape, numpy_dtype(spec.datatype))


def _signature(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    names: Mapping[_Place, str],
    found: Sequence[_Found],
) -> Signature:
    def of_input(spec: TensorSpec) -> TensorSpec:
        symbols = tuple(names.get((spec.name, axis), "") for axis in range(len(spec.dims)))
        return replace(spec, symbols=symbols)

    def of_output(spec: TensorSpec) -> TensorSpec:
        symbols = tuple(
            _symbol(spec, axis, found) if size == -1 else "" for axis, size in enumerate(spec.dims)
        )
        return replace(spec, symbols=symbols)

    return Signature(inputs=tuple(map(of_input, inputs)), outputs=tuple(map(of_output, outputs)))


def _symbol(spec: TensorSpec, axis: int, found: Sequence[_Found]) -> str:
    """The symbol whose size the dimension had in every try."""
    candidates = [
        {symbol for symbol, size in sizes.items() if _size(outputs.get(spec.name), axis) == size}
        for sizes, outputs in found
    ]
    agreed = sorted(set.intersection(*candidates)) if candidates else []
    return agreed[0] if agreed else ""


def _size(array: np.ndarray | None, axis: int) -> int:
    return array.shape[axis] if array is not None and axis < array.ndim else 0
