"""What a graph tells of its tensors, in the server's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trivet.backend.contract import Signature
from trivet.config import TensorSpec
from trivet.errors import Fault, InvalidConfig

# The graph's element types that numpy carries to the engine and back. BF16 is none of them.
DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class Node(Protocol):
    """An input or output as the engine describes it."""

    name: str
    type: str  # e.g. "tensor(float)"
    shape: Sequence[int | str | None]  # a number, a symbol, or nothing known


def signature(inputs: Sequence[Node], outputs: Sequence[Node], where: str) -> Signature:
    """Translate a graph's inputs and outputs; shapes and symbols include the batch dimension.

    Raises InvalidConfig naming every tensor whose type cannot be served.
    """
    faults = [_fault(node, where) for node in (*inputs, *outputs) if node.type not in DATATYPES]
    if faults:
        raise InvalidConfig(faults)
    return Signature(inputs=tuple(map(_spec, inputs)), outputs=tuple(map(_spec, outputs)))


def _spec(node: Node) -> TensorSpec:
    return TensorSpec(
        name=node.name,
        datatype=DATATYPES[node.type],
        dims=tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape),
        symbols=tuple(size if isinstance(size, str) else "" for size in node.shape),
    )


def _fault(node: Node, where: str) -> Fault:
    return Fault(
        f"{where}: tensor '{node.name}'",
        f"its type {node.type} cannot be served",
        "change the graph to one of " + ", ".join(DATATYPES),
    )
