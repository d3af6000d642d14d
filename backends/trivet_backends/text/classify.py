"""A classifier's numbers to labels and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Parameter, Reader, one_of
from trivet_backends.text.labels import LOGITS, read_labels
from trivet_backends.text.spans import found, softmax

INPUTS = (TensorSpec(name=LOGITS, datatype="FP32", dims=(-1, -1), symbols=("batch", "labels")),)
OUTPUTS = (found("LABEL", "BYTES"), found("SCORE", "FP32"))

Scoring = Callable[[np.ndarray], np.ndarray]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Each number for itself as a share of 1; exact for large ones of either sign."""
    shrunk = np.exp(-np.abs(logits))
    shares: np.ndarray = np.where(logits >= 0, 1, shrunk) / (1 + shrunk)
    return shares.astype(np.float32)


def unchanged(logits: np.ndarray) -> np.ndarray:
    """The numbers of a regression are its answer."""
    return logits


SCORING = one_of(
    "scoring",
    {"softmax": softmax, "sigmoid": sigmoid, "none": unchanged},
    softmax,
    "Scores of labels: softmax (one label a text), sigmoid (any number), none (a regression).",
)
PARAMETERS: tuple[Parameter[Any], ...] = (SCORING,)


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> Classify:
    """Read the version's labels. Raises InvalidConfig if they are no good."""
    labels = [label.encode() for label in read_labels(config, context)]
    return Classify(np.array(labels, dtype=object), reader.value(SCORING))


@dataclass(frozen=True, slots=True)
class Classify:
    """labels: by number, an object array of `bytes`."""

    labels: np.ndarray
    scoring: Scoring

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """LABEL and SCORE [rows, top_k], best first, from logits float32 [rows, labels].

        Parameter `top_k`: how many labels, 1 or more; 0, or none said: all.
        Raises InvalidInput: top_k is no such number, another number of logits than labels.
        """
        logits, count = inputs[LOGITS], len(self.labels)
        if logits.shape[1] != count:
            raise InvalidInput(
                f"input '{LOGITS}' has {logits.shape[1]} numbers for each text, and there are"
                f" {count} labels; send as many"
            )
        scores = self.scoring(logits)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : _top_k(parameters, count)]
        return {
            "LABEL": self.labels[order],
            "SCORE": np.take_along_axis(scores, order, axis=1),
        }


def _top_k(parameters: Parameters, labels: int) -> int:
    top_k = parameters.get("top_k", 0)
    if isinstance(top_k, int) and not isinstance(top_k, bool) and 0 <= top_k <= labels:
        return top_k or labels
    raise InvalidInput(
        f"parameter 'top_k' is {top_k!r}; send 1 to {labels}, the number of labels, or 0 for all"
    )
