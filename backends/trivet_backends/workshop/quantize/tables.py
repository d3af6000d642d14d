"""Matrices of an ONNX graph that are looked up in, or decoded with, in 8 or 16 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trivet_backends.workshop.openvino_file import quantized
from trivet_backends.workshop.quantize.options import Weights

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_FLAT = 2  # dimensions of a matrix
_SMALLEST = 4096  # elements; below, a matrix is not worth its error


def store_tables(model: ModelProto, weights: Weights) -> None:
    """Put 8 bits in place of every float32 matrix that is looked up in (Gather).

    What is looked up is turned to float32 row by row. Whoever else reads the table (a tied
    decoder) reads it whole, in float32; the engine does that once, when it opens the file.
    """
    from onnx import numpy_helper

    for tensor in [*model.graph.initializer]:
        readers = [node for node in model.graph.node if tensor.name in node.input]
        if not _is_matrix(tensor) or not any(_looks_up(node, tensor.name) for node in readers):
            continue
        symmetric = weights.symmetric is not False
        levels, zero, scale = quantized(
            numpy_helper.to_array(tensor), 0, symmetric=symmetric, per_channel=weights.per_channel
        )
        name = tensor.name
        model.graph.initializer.remove(tensor)
        for part, array in (("levels", levels), ("zero", zero), ("scale", scale)):
            model.graph.initializer.append(numpy_helper.from_array(array, f"{name}.{part}"))
        added: list[NodeProto] = []
        for number, node in enumerate(readers):
            rows = node.input[1] if _looks_up(node, name) else None
            made = f"{name}.float{number}"
            added += _dequantized(name, made, rows, len(zero) > 1)
            if rows is None:
                node.input[list(node.input).index(name)] = made
            else:
                added[-1].output[0] = node.output[0]
                model.graph.node.remove(node)
        _insert(model.graph, added)


def store_half(model: ModelProto) -> None:
    """Store every float32 matrix in FP16; the engine turns them to float32 when it opens the file.

    A GPU computes faster in FP16: `trivet build --precision fp16` writes a graph that does.
    """
    from onnx import TensorProto, helper, numpy_helper

    added = []
    for tensor in [*model.graph.initializer]:
        if not _is_matrix(tensor):
            continue
        name, half = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(numpy_helper.from_array(half, f"{name}.half"))
        added.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    _insert(model.graph, added)


def _is_matrix(tensor: TensorProto) -> bool:
    from onnx import TensorProto

    flat = len(tensor.dims) == _FLAT and int(np.prod(tensor.dims)) >= _SMALLEST
    return flat and tensor.data_type == TensorProto.FLOAT


def _looks_up(node: NodeProto, name: str) -> bool:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return node.op_type == "Gather" and node.input[0] == name and axis == 0


def _dequantized(name: str, made: str, rows: str | None, per_row: bool) -> list[NodeProto]:
    """(levels - zero) * scale, of the rows alone that are looked up, where they are."""
    from onnx import TensorProto, helper

    nodes, parts = [], {}
    for part in ("levels", "zero", "scale"):
        parts[part] = f"{name}.{part}"
        if rows is not None and (part == "levels" or per_row):
            nodes.append(helper.make_node("Gather", [parts[part], rows], [f"{made}.{part}"]))
            parts[part] = f"{made}.{part}"
    floats = [f"{made}.levels_float", f"{made}.zero_float"]
    for part, value in zip(("levels", "zero"), floats, strict=True):
        nodes.append(helper.make_node("Cast", [parts[part]], [value], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Sub", floats, [f"{made}.centred"]))
    nodes.append(helper.make_node("Mul", [f"{made}.centred", parts["scale"]], [made]))
    return nodes


def _insert(graph: GraphProto, added: list[NodeProto]) -> None:
    """Put nodes in front, in an order in which every value is made before it is read."""
    waiting = [*added, *graph.node]
    del graph.node[:]
    made = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    outside = {name for node in waiting for name in node.output}
    while waiting:
        ready = [n for n in waiting if all(i in made or i not in outside for i in n.input)]
        for node in ready:
            made.update(node.output)
        graph.node.extend(ready)
        done = {id(node) for node in ready}
        waiting = [node for node in waiting if id(node) not in done]
