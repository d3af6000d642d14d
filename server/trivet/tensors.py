"""Arrays of several requests in one, and back: stack rows with padding, cut answers to size.

Shapes here include the batch dimension. A *symbol* names a dimension that varies ("tokens"); the
same symbol on an input and an output says that the output's size follows the input's, which is
how an answer is cut back to what its request would have got alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Sizes = Mapping[str, int]  # a request's own size of each symbol


def stack(arrays: Sequence[np.ndarray], pad: int) -> np.ndarray:
    """Put the rows of several arrays under one another, padded to the largest of each dimension.

    arrays: one per request, [rows, ...], same rank and dtype. A single one is returned as it is.
    pad: fills what a smaller array leaves open; an empty `bytes` where the elements are BYTES.
    """
    if len(arrays) == 1:
        return arrays[0]
    shapes = [array.shape[1:] for array in arrays]
    if shapes.count(shapes[0]) == len(shapes):
        return np.concatenate(arrays)
    largest = tuple(map(max, zip(*shapes, strict=True)))
    rows = sum(len(array) for array in arrays)
    fill = b"" if arrays[0].dtype == object else pad
    stacked = np.full((rows, *largest), fill, dtype=arrays[0].dtype)
    start = 0
    for array in arrays:
        place = (slice(start, start + len(array)), *map(slice, array.shape[1:]))
        stacked[place] = array
        start += len(array)
    return stacked


def cut(stacked: np.ndarray, rows: slice, symbols: Sequence[str], sizes: Sizes) -> np.ndarray:
    """One request's part of an output: its rows, and no more of each symbol than it sent.

    symbols: of the dimensions after the batch dimension; "" where the size follows no input.
    The result is a view: no copy.
    """
    if not sizes or not symbols:
        return stacked[rows]
    return stacked[(rows, *[slice(sizes.get(symbol)) for symbol in symbols])]


def sizes_of(inputs: Mapping[str, np.ndarray], symbols: Mapping[str, Sequence[str]]) -> Sizes:
    """The size of each symbol in one request's inputs ([rows, ...] arrays)."""
    return {
        symbol: size
        for name, array in inputs.items()
        for symbol, size in zip(symbols.get(name, ()), array.shape[1:], strict=False)
        if symbol
    }
