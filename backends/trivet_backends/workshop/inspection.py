"""The models for a look inside: an encoder that gives out every layer, what picks one, a pipeline.

Written in FP32 for ONNX Runtime whatever the usual encoder is: it is there to be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.check_batch import CheckBatch
from trivet_backends.workshop.graph.inspect_layers import ATTENTIONS, HIDDEN_STATES, inspect_graph
from trivet_backends.workshop.numpy_bert import NumpyBert, softmax
from trivet_backends.workshop.tensor_files import Float32

MAX_DIFFERENCE = 1e-4  # absolute, as for every FP32 graph


@dataclass(frozen=True, slots=True)
class Layers:
    """states: float32 [batch, layers + 1, tokens, hidden]; maps: [batch, layers, heads, tokens,
    tokens]."""

    states: Float32
    maps: Float32


class NumpyInspect(NumpyBert):
    """The reference, which remembers what it saw on the way."""

    def __init__(self, config: BertConfig, tensors: Mapping[str, Float32]) -> None:
        super().__init__(config, tensors)
        self._states: list[Float32] = []
        self._maps: list[Float32] = []

    def layers(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray
    ) -> Layers:
        """Everything of one forward pass; inputs as in `hidden_states`."""
        self._states, self._maps = [], []
        last = self.hidden_states(input_ids, attention_mask, token_type_ids)
        return Layers(np.stack([*self._states, last], axis=1), np.stack(self._maps, axis=1))

    def _layer(self, prefix: str, hidden: Float32, bias: np.ndarray) -> Float32:
        self._states.append(hidden)
        return super()._layer(prefix, hidden, bias)

    def _attention(self, prefix: str, hidden: Float32, bias: np.ndarray) -> Float32:
        query, key = (
            self._split_heads(self._dense(f"{prefix}.self.{part}", hidden))
            for part in ("query", "key")
        )
        scores = query @ key.swapaxes(-1, -2) / np.float32(math.sqrt(self._config.head_size))
        self._maps.append(softmax(scores + bias))
        return super()._attention(prefix, hidden, bias)


def write_inspect(
    config: BertConfig, weights: Mapping[str, Float32], path: Path, *, attentions: bool
) -> None:
    """Write the graph to `path`. Raises InvalidConfig if the weights do not fit into one file."""
    path.write_bytes(inspect_graph(config, weights, attentions=attentions).SerializeToString())


def check_inspect(
    path: Path, config: BertConfig, weights: Mapping[str, Float32], batch: CheckBatch
) -> float:
    """The largest absolute difference between the graph's outputs and numpy's, padding left out.

    Raises InvalidConfig if it is over MAX_DIFFERENCE.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, dict(batch.tokens)), strict=True))
    expected = NumpyInspect(config, weights).layers(**batch.tokens)
    tokens = batch.tokens["attention_mask"] == 1
    pairs = [(found[HIDDEN_STATES].swapaxes(1, 2), expected.states.swapaxes(1, 2))]
    if ATTENTIONS in found:
        pairs.append((np.moveaxis(found[ATTENTIONS], 3, 1), np.moveaxis(expected.maps, 3, 1)))
    difference = max(float(np.abs(a[tokens] - b[tokens]).max()) for a, b in pairs)
    if not difference <= MAX_DIFFERENCE:
        told = f"the graph is {difference:.2e} away from numpy, {MAX_DIFFERENCE:.0e} is allowed"
        raise InvalidConfig([Fault(path.parent.parent.name, told, "nothing was published")])
    return difference
