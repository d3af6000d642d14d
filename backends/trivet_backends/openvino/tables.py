"""What is looked up in a model's tables, word and position embeddings above all, is in them.

The engine looks past the end of a table and finds zeros there, so that a wrong token id or a text
that is too long would get an answer that looks like one. So the lowest and the highest row of every
lookup are made outputs of the model, and are looked at before its answers are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trivet.errors import InvalidInput

if TYPE_CHECKING:
    import openvino

_DATA, _ROWS, _AXIS = range(3)  # inputs of Gather
_EXACT = 2**24  # the engine finds the highest of whole numbers in float32
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class Table:
    """One lookup. output: where the model now gives the lowest and highest row, as int64 [2]."""

    name: str
    size: int  # rows
    output: int


def watch_tables(model: openvino.Model) -> tuple[Table, ...]:
    """Add an output to the model for every lookup in a table of fixed size."""
    from openvino import opset13 as ops

    watched = []
    for node, size in list(_lookups(model)):
        rows = ops.clamp(ops.convert(node.input_value(_ROWS), "i64"), -_EXACT, _EXACT)
        axes = np.arange(rows.output(0).get_partial_shape().rank.get_length())
        ends = [
            ops.unsqueeze(reduce(rows, axes, keep_dims=False), 0)
            for reduce in (ops.reduce_min, ops.reduce_max)
        ]
        watched.append(Table(node.get_friendly_name(), size, len(model.outputs)))
        model.add_outputs(ops.concat(ends, 0).output(0))
    return tuple(watched)


def check_rows(tables: Sequence[Table], request: openvino.InferRequest) -> None:
    """Raise InvalidInput if the run just made looked for a row that a table does not have.

    Rows below zero count from the end. Of no rows at all, the lowest is above the highest.
    """
    for table in tables:
        lowest, highest = map(int, request.get_output_tensor(table.output).data)
        missing = lowest if lowest < -table.size else highest
        if lowest <= highest and not -table.size <= missing < table.size:
            raise InvalidInput(
                f"openvino: row {missing} of the model's table '{table.name}' was asked for, which"
                f" has {table.size}; send ids that it has, and no more than it has positions"
            )


def check_range(name: str, array: np.ndarray) -> None:
    """Raise InvalidInput for a whole number that the engine, which has 32 bits, would change."""
    if array.dtype.kind in "iu" and array.itemsize >= _INT32.bits // 8 and array.size:
        for value in (array.min(), array.max()):
            if not _INT32.min <= value <= _INT32.max:
                raise InvalidInput(
                    f"input '{name}': openvino computes whole numbers in 32 bits, which {value}"
                    " does not fit into; send a smaller one"
                )


def _lookups(model: openvino.Model) -> Iterator[tuple[openvino.Node, int]]:
    """Every Gather whose rows are computed, and whose table has a fixed number of them."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Gather":
            continue
        table, rows = node.get_input_partial_shape(_DATA), node.get_input_partial_shape(_ROWS)
        fixed = [node.input_value(index).get_node() for index in (_ROWS, _AXIS)]
        if fixed[0].get_type_name() == "Constant" or fixed[1].get_type_name() != "Constant":
            continue
        if table.rank.is_static and rows.rank.is_static:
            size = table[int(fixed[1].data.flat[0])]
            if size.is_static:
                yield node, size.get_length()
