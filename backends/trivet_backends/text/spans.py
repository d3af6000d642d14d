"""What the steps that find parts of a text share: the text's windows, and arrays of spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from trivet.config import TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Tensors

_TOKENS = ("batch", "tokens")

# What the tokenizers backend tells of its tokens and windows, under its own names.
OFFSETS = TensorSpec(name="offsets", datatype="INT64", dims=(-1, -1, 2), symbols=(*_TOKENS, ""))
WORD_IDS = TensorSpec(name="word_ids", datatype="INT64", dims=(-1, -1), symbols=_TOKENS)
SEQUENCE_IDS = TensorSpec(name="sequence_ids", datatype="INT64", dims=(-1, -1), symbols=_TOKENS)
WINDOW = TensorSpec(name="window", datatype="INT64", dims=(-1, 2), symbols=("batch", ""))
TEXTS = TensorSpec(name="texts", datatype="BYTES", dims=(-1, 1), symbols=("batch", ""))

NOWHERE = -1  # begin and end of what only fills a row up


def found(name: str, datatype: str) -> TensorSpec:
    """An output with as many values for each text as the text with most has spans."""
    return TensorSpec(name=name, datatype=datatype, dims=(-1, -1), symbols=("batch", ""))


def check_tokens(inputs: Tensors, names: Sequence[str]) -> None:
    """Raises InvalidInput if these do not agree on [windows, tokens], or there is no token."""
    shapes = [inputs[name].shape[:2] for name in names]
    if len(set(shapes)) > 1 or not shapes[0][1]:
        told = ", ".join(f"{name} {list(inputs[name].shape)}" for name in names)
        raise InvalidInput(f"inputs disagree on [windows, tokens]: {told}; send what belongs")


def rows_of_windows(window: np.ndarray) -> Iterator[slice]:
    """Which windows are of each text, in order. window: int64 [windows, 2], see the tokenizers.

    Raises InvalidInput if the texts are not numbered 0, 1 and so on.
    """
    rows = window[:, 0]
    steps = np.diff(rows, prepend=-1)
    if (steps < 0).any() or (steps > 1).any() or rows[0]:
        raise InvalidInput("input 'window' does not number the texts 0, 1, ...; send it unchanged")
    begins = [*np.flatnonzero(steps).tolist(), len(rows)]
    return (slice(a, b) for a, b in pairwise(begins))


def texts_column(rows: Sequence[Sequence[bytes]], width: int) -> np.ndarray:
    """BYTES [rows, width]; b"" fills up."""
    array = np.full((len(rows), width), b"", dtype=object)
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array


def numbers_column(
    rows: Sequence[Sequence[float]], width: int, fill: float, dtype: type[np.generic]
) -> np.ndarray:
    """Numbers [rows, width]; `fill` fills up."""
    array = np.full((len(rows), width), fill, dtype=dtype)
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares of 1 along the last axis, in float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares.astype(np.float32)
