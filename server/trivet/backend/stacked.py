"""An instance for engines that compute dense arrays: merge, run, cut.

The engine sees one array per input with all rows, padded to the longest; each request gets back
its own rows cut to its own size, so that batching never shows in shapes. Ragged inputs are joined
without padding instead, see `ragged`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from trivet.backend import ragged
from trivet.backend.contract import Answer, Batch, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import EngineFailed
from trivet.request import Tensors
from trivet.tensors import cut, sizes_of, stack

Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class Stacked:
    """An `Instance` over `run`, which computes one dense array per output from one per input.

    A model that does not batch (max_batch_size 0) gets its one request's arrays as they came.
    """

    def __init__(self, run: Run, config: ModelConfig, close: Callable[[], None] = lambda: None):
        self._run = run
        self._close = close
        self._batches = config.max_batch_size > 0
        self._pads = {spec.name: config.pad(spec.name) for spec in config.inputs}
        self._output_symbols = _symbols(config.outputs)
        self._input_symbols = _measured(config)
        self._ragged = frozenset(spec.name for spec in config.inputs if spec.ragged)
        self._batch_inputs = config.batch_inputs
        self._scattered = _scattered(config)
        self._as_they_come = not (self._ragged or self._batch_inputs or self._scattered)

    def execute(self, batch: Batch) -> list[Answer]:
        """Answer the batch. Raises EngineFailed if an output has not a row for each it was given.

        Requests that differ in which optional inputs they have cannot share an array: each kind is
        computed on its own.
        """
        requests = batch.requests
        if len(kinds := _by_names(requests)) > 1:
            return self._in_parts(batch, kinds)
        alone = len(requests) == 1 and self._as_they_come
        inputs = requests[0].inputs if alone else self._merged(requests)
        batch.merged_ns = batch.now_ns()
        outputs = self._run(inputs)
        batch.computed_ns = batch.now_ns()
        if self._batches:
            self._check_rows(requests, outputs)
        if alone:
            return [Answer(outputs)]
        return self._parted(requests, outputs)

    def close(self) -> None:
        self._close()

    def _in_parts(self, batch: Batch, kinds: Sequence[Sequence[int]]) -> list[Answer]:
        """One execution per kind of request, given as positions; the answers in their order."""
        answers: dict[int, Answer] = {}
        for positions in kinds:
            part = replace(batch, requests=[batch.requests[position] for position in positions])
            answers.update(zip(positions, self.execute(part), strict=True))
            batch.merged_ns = batch.merged_ns or part.merged_ns
            batch.computed_ns = part.computed_ns
        return [answers[position] for position in range(len(batch.requests))]

    def _merged(self, requests: Sequence[Rows]) -> Mapping[str, np.ndarray]:
        merged = {}
        for name in requests[0].inputs:
            arrays = [request.inputs[name] for request in requests]
            if name in self._ragged:
                merged[name] = ragged.flat(arrays)
            else:
                merged[name] = stack(arrays, self._pads.get(name, 0))
        for told in self._batch_inputs:
            values = ragged.batch_input(told, [request.inputs[told.source] for request in requests])
            merged.update(dict.fromkeys(told.targets, values))
        return merged

    def _parted(self, requests: Sequence[Rows], outputs: Mapping[str, np.ndarray]) -> list[Answer]:
        parts = self._cut(requests, outputs)
        for name, (dims, source) in self._scattered.items():
            if name in outputs:
                sources = [request.inputs[source] for request in requests]
                own = ragged.scattered(name, outputs[name], dims, sources)
                for part, array in zip(parts, own, strict=True):
                    part[name] = array
        return [Answer(part) for part in parts]

    def _cut(
        self, requests: Sequence[Rows], outputs: Mapping[str, np.ndarray]
    ) -> list[dict[str, np.ndarray]]:
        """Each request's rows of every output that has the batch in front."""
        parts, start = [], 0
        for request in requests:
            own = slice(start, start + _rows(request))
            sizes = sizes_of(request.inputs, self._input_symbols) if self._input_symbols else {}
            parts.append(
                {
                    name: cut(array, own, self._output_symbols.get(name, ()), sizes)
                    for name, array in outputs.items()
                    if name not in self._scattered
                }
            )
            start = own.stop
        return parts

    def _check_rows(self, requests: Sequence[Rows], outputs: Tensors) -> None:
        """Without this, an output that does not follow the batch would be cut into wrong parts."""
        rows = sum(map(_rows, requests))
        for name, array in outputs.items():
            if name not in self._scattered and (array.ndim == 0 or len(array) != rows):
                raise EngineFailed(
                    f"output '{name}' has shape {list(array.shape)} for a batch of {rows} rows;"
                    + (
                        " batch inputs count requests: send one row in each, or name the output"
                        " in batch_output"
                        if self._batch_inputs
                        else " the model cannot batch: set max_batch_size: 0"
                    )
                )


def _rows(request: Rows) -> int:
    return len(next(iter(request.inputs.values())))


def _by_names(requests: Sequence[Rows]) -> Sequence[Sequence[int]]:
    """The positions of the requests, those together that have the same inputs."""
    first = requests[0].inputs.keys()
    if all(request.inputs.keys() == first for request in requests):
        return (range(len(requests)),)
    kinds: dict[frozenset[str], list[int]] = {}
    for position, request in enumerate(requests):
        kinds.setdefault(frozenset(request.inputs), []).append(position)
    return list(kinds.values())


def _scattered(config: ModelConfig) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """Batch outputs by name: their dims, the batch dimension in front, and their source."""
    return {
        spec.name: ((-1, *spec.dims), told.source)
        for told in config.batch_outputs
        for spec in config.outputs
        if spec.name in told.targets
    }


def _measured(config: ModelConfig) -> Mapping[str, tuple[str, ...]]:
    """The inputs that say how large a request's own outputs are, with their symbols."""
    needed = {symbol for spec in config.outputs for symbol in spec.symbols if symbol}
    return {
        spec.name: spec.symbols for spec in config.inputs if not needed.isdisjoint(spec.symbols)
    }


def _symbols(specs: tuple[TensorSpec, ...]) -> Mapping[str, tuple[str, ...]]:
    return {spec.name: spec.symbols for spec in specs}
