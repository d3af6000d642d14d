"""Inputs that are positions in a table, such as token ids, and how long the table is.

The engine takes any position: past the end it reads zeros, so that a wrong id would get an answer
that looks like one. These inputs are checked before the engine sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from trivet.errors import InvalidInput
from trivet.request import Tensors

if TYPE_CHECKING:
    import openvino

_UNCHANGED = frozenset({"Convert", "Reshape", "Squeeze", "Unsqueeze"})  # values stay what they are
_DATA, _POSITIONS, _AXIS = range(3)  # inputs of Gather


def tables(model: openvino.Model, names: list[str]) -> dict[str, int]:
    """Input name -> rows of the shortest table of fixed size that it is looked up in."""
    found: dict[str, int] = {}
    for name, parameter in zip(names, model.get_parameters(), strict=True):
        rows = [size for gather in _gathers(parameter) if (size := _rows(gather))]
        if rows:
            found[name] = min(rows)
    return found


def check_positions(inputs: Tensors, rows: Mapping[str, int]) -> None:
    """Raise InvalidInput if a value is no position in its input's table; negative: from the end."""
    for name, size in rows.items():
        array = inputs.get(name)
        if array is None or not array.size:
            continue
        for value in (array.min(), array.max()):
            if not -size <= value < size:
                raise InvalidInput(
                    f"input '{name}': {value} is not in the model's table of {size} rows;"
                    f" send values from 0 to {size - 1}"
                )


def _gathers(node: openvino.Node) -> Iterator[openvino.Node]:
    """The Gather nodes that take this node's values for positions."""
    for output in node.outputs():
        for target in output.get_target_inputs():
            reader = target.get_node()
            if reader.get_type_name() == "Gather" and target.get_index() == _POSITIONS:
                yield reader
            elif reader.get_type_name() in _UNCHANGED and target.get_index() == 0:
                yield from _gathers(reader)


def _rows(gather: openvino.Node) -> int:
    """The size of the table along the axis that is looked up; 0 where it varies."""
    axis = gather.input_value(_AXIS).get_node()
    shape = gather.get_input_partial_shape(_DATA)
    if axis.get_type_name() != "Constant" or shape.rank.is_dynamic:
        return 0
    size = shape[int(axis.data.flat[0])]
    return 0 if size.is_dynamic else int(size.get_length())
