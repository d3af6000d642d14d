"""An instance for engines that compute dense arrays: merge, run, cut.

The engine sees one array per input with all rows, padded to the longest; each request gets back
its own rows cut to its own size, so that batching never shows in shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trivet.backend.contract import Answer, Batch, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.tensors import cut, sizes_of, stack

Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class Stacked:
    """An `Instance` over `run`, which computes one dense array per output from one per input.

    A model that does not batch (max_batch_size 0) gets its one request's arrays as they came.
    """

    def __init__(self, run: Run, config: ModelConfig, close: Callable[[], None] = lambda: None):
        self._run = run
        self._close = close
        self._pads = {spec.name: config.pad(spec.name) for spec in config.inputs}
        self._input_symbols = _symbols(config.inputs)
        self._output_symbols = _symbols(config.outputs)

    def execute(self, batch: Batch) -> list[Answer]:
        requests = batch.requests
        inputs = self._merged(requests) if len(requests) > 1 else requests[0].inputs
        batch.merged_ns = batch.now_ns()
        outputs = self._run(inputs)
        batch.computed_ns = batch.now_ns()
        if len(requests) == 1:
            return [Answer(outputs)]
        return self._parted(batch, outputs)

    def close(self) -> None:
        self._close()

    def _merged(self, requests: Sequence[Rows]) -> Mapping[str, np.ndarray]:
        return {
            name: stack([request.inputs[name] for request in requests], self._pads.get(name, 0))
            for name in requests[0].inputs
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


def _symbols(specs: tuple[TensorSpec, ...]) -> Mapping[str, tuple[str, ...]]:
    return {spec.name: spec.symbols for spec in specs}
