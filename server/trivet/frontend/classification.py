"""The protocol's `classification`: an output's best values instead of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trivet.errors import InvalidInput
from trivet_protos import wire


def best_classes(
    array: np.ndarray, count: int, labels: Sequence[str], *, batched: bool
) -> np.ndarray:
    """The `count` largest values of each row as texts "value:index" or "value:index:label".

    array: any numbers; batched: [rows, ...], and each row is ranked alone.
    Returns BYTES [rows, n], or [n] when not batched, where n is `count` or all there are; the
    largest first, of equal ones the first, NaN last. Floats have six decimals, as in Triton.
    Raises InvalidInput for what has no order: BOOL and BYTES.
    """
    if array.dtype.kind in "ObSU":
        raise InvalidInput(
            "class result not available for output due to unsupported type"
            f" '{wire.datatype_of(array)}'; leave out the parameter 'classification'"
        )
    rows = len(array) if batched else 1
    ranked = array.reshape(rows, array.size // rows if rows else 0)
    kept = min(count, ranked.shape[1])
    classes = np.empty((rows, kept), object)
    for row, values in enumerate(ranked):
        for place, index in enumerate(_descending(values)[:kept]):
            classes[row, place] = _text(values[index], int(index), labels)
    return classes if batched else classes[0]


def _descending(values: np.ndarray) -> np.ndarray:
    # Unsigned numbers cannot be negated; the complement turns the order of any integers round.
    key = ~values if values.dtype.kind in "iu" else -values.astype(np.float64)
    return np.argsort(key, kind="stable")


def _text(value: np.generic, index: int, labels: Sequence[str]) -> bytes:
    number = f"{value}" if value.dtype.kind in "iu" else f"{float(value):f}"
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{number}:{index}{label}".encode()
