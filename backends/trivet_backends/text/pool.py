"""Token vectors to one vector per text, for graphs that do not pool themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Parameter, Reader, one_of, switch

_TOKENS = ("batch", "tokens")

INPUTS = (
    TensorSpec(
        name="last_hidden_state", datatype="FP32", dims=(-1, -1, -1), symbols=(*_TOKENS, "width")
    ),
    TensorSpec(name="attention_mask", datatype="INT64", dims=(-1, -1), symbols=_TOKENS),
)
OUTPUTS = (
    TensorSpec(name="EMBEDDING", datatype="FP32", dims=(-1, -1), symbols=("batch", "width")),
)

Pooling = Callable[[np.ndarray, np.ndarray], np.ndarray]


def mean(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average each row's token vectors, leaving padding out. A row without a token is zero.

    hidden: float32 [rows, tokens, width]; mask: int64 [rows, tokens], 1 for a token, else 0.
    Returns float32 [rows, width].
    Source: Reimers & Gurevych 2019 (Sentence-BERT), section 3, MEAN strategy.
    """
    weights = mask.astype(np.float32)
    # A matrix product needs no copy of `hidden`, unlike (hidden * weights).sum().
    total = (weights[:, None, :] @ hidden)[:, 0, :]
    average: np.ndarray = total / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return average


def cls(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Each row's first token vector, which is [CLS]. Shapes as in `mean`."""
    return hidden[:, 0, :]


def largest(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Each dimension's largest value over a row's tokens; zero for a row without a token."""
    is_token = mask[:, :, None] > 0
    found = np.where(is_token, hidden, np.float32(-np.inf)).max(axis=1)
    return np.where(is_token.any(axis=1), found, np.float32(0))


POOLINGS: Mapping[str, Pooling] = {"mean": mean, "cls": cls, "max": largest}
POOLING = one_of(
    "pooling",
    POOLINGS,
    mean,
    "Which vector stands for the text: the tokens' mean, the first one's, or their maximum.",
)
NORMALIZE = switch("normalize", True, "Scale every vector to length 1.")
PARAMETERS: tuple[Parameter[Any], ...] = (POOLING, NORMALIZE)


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> Pool:
    """Read the parameters `pooling` and `normalize`."""
    return Pool(reader.value(POOLING), reader.value(NORMALIZE))


@dataclass(frozen=True, slots=True)
class Pool:
    """One way to make a vector of a text."""

    pooling: Pooling
    normalize: bool

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """EMBEDDING float32 [rows, width] from last_hidden_state and attention_mask (see `mean`).

        Normalised, a row without a token is zero, not NaN.
        Raises InvalidInput if the two disagree on [rows, tokens], or tokens is 0.
        """
        hidden, mask = inputs["last_hidden_state"], inputs["attention_mask"]
        if hidden.shape[:2] != mask.shape or not hidden.shape[1]:
            raise InvalidInput(
                "inputs 'last_hidden_state' and 'attention_mask' have shapes "
                f"{list(hidden.shape)} and {list(mask.shape)}; send [rows, tokens, width] and "
                "[rows, tokens], with at least one token"
            )
        vectors = self.pooling(hidden, mask)
        if self.normalize:
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(length, np.finfo(np.float32).tiny)
        return {"EMBEDDING": np.ascontiguousarray(vectors)}
