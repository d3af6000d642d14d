"""An instance for engines that compute dense arrays: merge, run, cut.

The engine sees one array per input with all rows, padded to the longest; each request gets back
its own rows cut to its own size, so that batching never shows in shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

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
        self._input_symbols = _symbols(config.inputs)
        self._output_symbols = _symbols(config.outputs)

    def execute(self, batch: Batch) -> list[Answer]:
        """Answer the batch. Raises EngineFailed if an output has not a row for each it was given.

        Raises ValueError for requests that differ in which optional inputs they have: they cannot
        share an array, and are asked again one by one.
        """
        requests = batch.requests
        inputs = self._merged(requests) if len(requests) > 1 else requests[0].inputs
        batch.merged_ns = batch.now_ns()
        outputs = self._run(inputs)
        batch.computed_ns = batch.now_ns()
        if self._batches:
            _check_rows(inputs, outputs)
        if len(requests) == 1:
            return [Answer(outputs)]
        return self._parted(batch, outputs)

    def close(self) -> None:
        self._close()

    def _merged(self, requests: Sequence[Rows]) -> Mapping[str, np.ndarray]:
        names = requests[0].inputs.keys()
        if any(request.inputs.keys() != names for request in requests):
            raise ValueError("requests with different optional inputs cannot share a batch")
        return {
            name: stack([request.inputs[name] for request in requests], self._pads.get(name, 0))
            for name in names
        }

    def _parted(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> list[Answer]:
        answers, start = [], 0
        for request in batch.requests:
            rows = len(next(iter(request.inputs.values())))
            own = slice(start, start + rows)
            sizes = sizes_of(request.inputs, self._input_symbols)
            answers.append(
                Answer(
                    {
                        name: cut(array, own, self._output_symbols.get(name, ()), sizes)
                        for name, array in outputs.items()
                    }
                )
            )
            start += rows
        return answers


def _check_rows(inputs: Tensors, outputs: Tensors) -> None:
    """Without this, an output that does not follow the batch would be cut into the wrong parts."""
    rows = len(next(iter(inputs.values())))
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            raise EngineFailed(
                f"output '{name}' has shape {list(array.shape)} for a batch of {rows} rows; the"
                " model cannot batch: set max_batch_size: 0"
            )


def _symbols(specs: tuple[TensorSpec, ...]) -> Mapping[str, tuple[str, ...]]:
    return {spec.name: spec.symbols for spec in specs}
