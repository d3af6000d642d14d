"""The last refusal: does this request fit this model? Inside, everything is already valid."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trivet.config import Dims, ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import InferRequest
from trivet_protos import wire

Places = tuple[tuple[str, int], ...]  # of a symbol: input and axis


class Validator:
    """Checks requests against one model's configuration."""

    def __init__(self, config: ModelConfig) -> None:
        self._name = config.name
        self._max_batch_size = config.max_batch_size
        self._inputs = {
            spec.name: (spec, wire.numpy_dtype(spec.datatype)) for spec in config.inputs
        }
        self._required = frozenset(spec.name for spec in config.inputs if not spec.optional)
        self._outputs = frozenset(spec.name for spec in config.outputs)
        self._symbols = _shared_symbols(config)

    def check(self, request: InferRequest) -> int:
        """Return the request's rows (1 for a model that does not batch).

        Raises InvalidInput naming the model, the tensor, what was expected, what came and the cure.
        """
        if not self._required <= request.inputs.keys() <= self._inputs.keys():
            raise self._wrong_names(request)
        for name, array in request.inputs.items():
            spec, dtype = self._inputs[name]
            if array.dtype != dtype:
                raise self._wrong_datatype(spec, array)
            if not self._fits(array.shape, spec.dims):
                raise self._wrong_shape(spec, array)
        if not self._outputs.issuperset(request.outputs):
            raise self._unknown_output(request)
        for symbol, places in self._symbols:
            self._check_sizes(request, symbol, places)
        return self._rows(request) if self._max_batch_size else 1

    def _fits(self, shape: tuple[int, ...], dims: Dims) -> bool:
        own = shape[1:] if self._max_batch_size else shape
        if len(own) != len(dims) or (self._max_batch_size and not shape):
            return False
        for size, dim in zip(own, dims, strict=True):  # noqa: SIM110 - all() takes twice as long
            if size != dim and dim != -1:
                return False
        return True

    def _rows(self, request: InferRequest) -> int:
        rows = {len(array) for array in request.inputs.values()}
        if len(rows) == 1 and 1 <= (count := rows.pop()) <= self._max_batch_size:
            return count
        raise self._wrong_rows(request)

    def _wrong_rows(self, request: InferRequest) -> InvalidInput:
        rows = {name: len(array) for name, array in request.inputs.items()}
        if not rows:  # every input is optional, but none would tell how many rows to answer
            return InvalidInput(
                f"model '{self._name}': no input came; send at least one of {_names(self._inputs)}"
            )
        first = next(iter(rows.values()))
        if any(count != first for count in rows.values()):
            return InvalidInput(
                f"model '{self._name}': inputs disagree on the batch size: {_counts(rows)};"
                " send the same number of rows in every input"
            )
        return InvalidInput(
            f"model '{self._name}': batch size must be 1 to {self._max_batch_size}"
            f" (max_batch_size), got {first}; split the request"
        )

    def _check_sizes(self, request: InferRequest, symbol: str, places: Places) -> None:
        """Inputs that share a dimension must agree on its size.

        The engine would refuse it alone; in a batch, padding would make up for the difference and
        the answer would be wrong without a word.
        """
        sizes = {
            name: request.inputs[name].shape[axis]
            for name, axis in places
            if name in request.inputs
        }
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"'{name}' has {size}" for name, size in sorted(sizes.items()))
            raise InvalidInput(
                f"model '{self._name}': unexpected shape: inputs disagree on the size of"
                f" '{symbol}': {told}; send the same size in each"
            )

    def _wrong_names(self, request: InferRequest) -> InvalidInput:
        missing = sorted(self._required - request.inputs.keys())
        unknown = sorted(request.inputs.keys() - self._inputs.keys())
        said = [f"input '{name}' is missing" for name in missing]
        said += [f"unexpected inference input '{name}'" for name in unknown]
        return InvalidInput(
            f"model '{self._name}': {', '.join(said)};"
            f" expected {len(self._inputs)} inputs: {_names(self._inputs)}"
        )

    def _wrong_datatype(self, spec: TensorSpec, array: np.ndarray) -> InvalidInput:
        return InvalidInput(
            f"model '{self._name}': input '{spec.name}' has data-type"
            f" '{wire.datatype_of(array)}', expected '{spec.datatype}'; convert it before sending"
        )

    def _wrong_shape(self, spec: TensorSpec, array: np.ndarray) -> InvalidInput:
        expected = [-1, *spec.dims] if self._max_batch_size else list(spec.dims)
        batch = " (the first is the batch)" if self._max_batch_size else ""
        return InvalidInput(
            f"model '{self._name}': unexpected shape for input '{spec.name}':"
            f" expected {expected}{batch}, got {list(array.shape)}; -1 stands for any size"
        )

    def _unknown_output(self, request: InferRequest) -> InvalidInput:
        unknown = sorted(set(request.outputs) - self._outputs)
        return InvalidInput(
            f"model '{self._name}': unexpected inference output {_names(unknown)};"
            f" it has {_names(self._outputs)}"
        )


def _shared_symbols(config: ModelConfig) -> tuple[tuple[str, Places], ...]:
    """The dimensions that several inputs share, each with the inputs and axes it stands at."""
    first_axis = 1 if config.max_batch_size else 0
    places: dict[str, list[tuple[str, int]]] = {}
    for spec in config.inputs:
        for axis, symbol in enumerate(spec.symbols, start=first_axis):
            if symbol:
                places.setdefault(symbol, []).append((spec.name, axis))
    return tuple((symbol, tuple(at)) for symbol, at in places.items() if len(at) > 1)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


def _counts(rows: dict[str, int]) -> str:
    return ", ".join(f"'{name}' has {count}" for name, count in sorted(rows.items()))
