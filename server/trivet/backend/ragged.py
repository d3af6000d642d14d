"""Ragged batches, as Triton defines them: requests of different shapes joined without padding.

A ragged input reaches the engine flat: the elements of all requests one after another, [elements],
without a batch dimension. Where each request begins is told by *batch inputs*, which the server
makes from the sizes of a source input and no client sends. An output that is flat likewise, a
*batch output*, is divided by the shape that a source input had in each request.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trivet.config import BatchInput, BatchInputKind, Dims
from trivet.errors import EngineFailed

_DTYPES = {"INT32": np.int32, "FP32": np.float32}  # those a batch input may have


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The elements of all arrays, one after another: [elements]. A single array is not copied."""
    if len(arrays) == 1:
        return arrays[0].reshape(-1)
    return np.concatenate([array.reshape(-1) for array in arrays])


def batch_input(told: BatchInput, sources: Sequence[np.ndarray]) -> np.ndarray:
    """What one batch input tells of a batch.

    sources: the source input of each request, [rows, ...]. Returns, for n requests: [n] for
    ELEMENT_COUNT and ACCUMULATED_ELEMENT_COUNT, [n + 1] for ..._WITH_ZERO, [largest] zeros for
    MAX_ELEMENT_COUNT_AS_SHAPE, whose size is all it tells, [all rows, dimensions] for ITEM_SHAPE
    and the same in one dimension for ITEM_SHAPE_FLATTEN. Counts are of requests, shapes of rows.
    """
    dtype = _DTYPES[told.datatype]
    counts = [source.size for source in sources]
    match told.kind:
        case BatchInputKind.ELEMENT_COUNT:
            return np.array(counts, dtype)
        case BatchInputKind.ACCUMULATED_ELEMENT_COUNT:
            return np.cumsum(counts).astype(dtype)
        case BatchInputKind.ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
            return np.cumsum([0, *counts]).astype(dtype)
        case BatchInputKind.MAX_ELEMENT_COUNT_AS_SHAPE:
            return np.zeros(max(counts), dtype)
        case BatchInputKind.ITEM_SHAPE:
            return _item_shapes(sources).astype(dtype)
        case BatchInputKind.ITEM_SHAPE_FLATTEN:
            return _item_shapes(sources).astype(dtype).reshape(-1)


def scattered(
    name: str, array: np.ndarray, dims: Dims, sources: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Each request's part of a batch output, in the shape that its source input had.

    dims: of the output, the batch dimension in front; a dimension of -1 has the size that the same
    dimension has in the request's source. Raises EngineFailed if the parts are not all of `array`:
    then it is not known whose elements they are.
    """
    shapes = [_shape(dims, source.shape) for source in sources]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    if array.size != ends[-1]:
        raise EngineFailed(
            f"batch output '{name}' has {array.size} elements for requests of {list(shapes)},"
            f" which need {ends[-1]}; correct its dims or source_input in config.pbtxt"
        )
    parts = np.split(array.reshape(-1), ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _item_shapes(sources: Sequence[np.ndarray]) -> np.ndarray:
    """[all rows, dimensions]: the shape of every row, without the batch dimension."""
    return np.concatenate([np.tile(source.shape[1:], (len(source), 1)) for source in sources])


def _shape(dims: Dims, source: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(source[axis] if dim == -1 else dim for axis, dim in enumerate(dims))
