"""Writing an ONNX graph node by node, from portable operators only.

Values are named by strings, as in ONNX itself: every method returns the name of what it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trivet.errors import Fault, InvalidConfig

if TYPE_CHECKING:
    from onnx import AttributeProto, ModelProto, ValueInfoProto

# Opset 12, though 17 has a LayerNormalization of its own: ONNX Runtime fuses attention only if the
# mask's Unsqueeze has its axes as an attribute, which ended with opset 12 (seen in 1.32). It makes
# one LayerNormalization of the older operators' nine nodes all the same. IR 7 belongs to opset 12.
OPSET = 12
IR_VERSION = 7
# Protobuf's own limit for one message is 2 GiB; the nodes take far less than the 16 MiB left free.
MAX_WEIGHT_BYTES = 2**31 - 2**24
_SMALL_BYTES = 256

Attribute = int | float | str | Sequence[int]


class GraphBuilder:
    """Collects nodes and initializers; a weight is stored once per name, a small constant once.

    floats: the numpy type of weights and arithmetic, float32 or float16.
    """

    def __init__(self, name: str, floats: type[np.floating]) -> None:
        from onnx import ModelProto

        self.floats = np.dtype(floats)
        self._model = ModelProto(ir_version=IR_VERSION, producer_name="trivet")
        self._model.opset_import.add(domain="", version=OPSET)
        self._graph = self._model.graph
        self._graph.name = name
        self._stored: dict[str | bytes, str] = {}  # name or content -> name of the initializer
        self._taken: dict[str, int] = {}
        self._bytes = 0

    def input(self, name: str, dtype: type[np.generic], dims: Sequence[str | int]) -> str:
        """Declare an input; a dimension that is a word is dynamic."""
        self._graph.input.append(_value_info(name, dtype, dims))
        return name

    def output(
        self, value: str, name: str, dtype: type[np.generic], dims: Sequence[str | int]
    ) -> None:
        """Give `value` out under `name`."""
        self._add("Identity", [value], [name], name, {})
        self._graph.output.append(_value_info(name, dtype, dims))

    def weight(self, name: str, array: np.ndarray) -> str:
        """Store an array as it is. Returns the name of the initializer.

        Asked again for the same name, or for an equal constant, it stores nothing.
        """
        # Comparing large arrays by content would cost a build more than it could find.
        small = array.nbytes <= _SMALL_BYTES
        key = f"{array.dtype}{array.shape}".encode() + array.tobytes() if small else name
        if key not in self._stored:
            self._bytes += array.nbytes
            self._refuse_what_no_file_holds()
            self._stored[key] = self._unique(name)
            self._graph.initializer.add(
                name=self._stored[key],
                dims=array.shape,
                data_type=_onnx_type(array.dtype),
                raw_data=array.tobytes(),  # C order, as ONNX has it, whatever the array's own
            )
        return self._stored[key]

    def float_weight(self, name: str, array: np.ndarray) -> str:
        """Store an array in the graph's own float type."""
        return self.weight(name, array.astype(self.floats, copy=False))

    def integers(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.weight(f"ints_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """A constant int64 scalar."""
        return self.weight(f"int_{value}", np.array(value, np.int64))

    def number(self, value: float, dtype: type[np.floating] | None = None) -> str:
        """A constant scalar in the graph's float type, or in another."""
        return self.weight(f"float_{value:.6g}", np.array(value, dtype or self.floats))

    def node(self, op: str, *inputs: str, name: str = "", **attributes: Attribute) -> str:
        """Add a node with one output, and return that output's name."""
        (output,) = self.nodes(op, *inputs, name=name, outputs=1, **attributes)
        return output

    def nodes(
        self, op: str, *inputs: str, name: str = "", outputs: int, **attributes: Attribute
    ) -> tuple[str, ...]:
        """Add a node with several outputs, and return their names."""
        name = self._unique(name or op.lower())
        made = (name,) if outputs == 1 else tuple(f"{name}.{i}" for i in range(outputs))
        self._add(op, inputs, made, name, attributes)
        return made

    def cast(self, value: str, dtype: type[np.generic] | np.dtype, name: str = "") -> str:
        """Convert `value` to another type."""
        return self.node("Cast", value, name=name, to=_onnx_type(dtype))

    def to_float32(self, value: str) -> str:
        """`value`, which is in the graph's float type, as float32; no node where it is already."""
        return value if self.floats == np.float32 else self.cast(value, np.float32)

    def to_floats(self, value: str) -> str:
        """`value`, which is float32, in the graph's float type; no node where it is already."""
        return value if self.floats == np.float32 else self.cast(value, self.floats)

    def model(self) -> ModelProto:
        """The model written so far."""
        return self._model

    def _add(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        name: str,
        attributes: dict[str, Attribute],
    ) -> None:
        from onnx import helper

        made: list[AttributeProto] = [
            helper.make_attribute(key, value) for key, value in sorted(attributes.items())
        ]
        node = helper.make_node(op, list(inputs), list(outputs), name=name)
        node.attribute.extend(made)
        self._graph.node.append(node)

    def _unique(self, name: str) -> str:
        count = self._taken.get(name, 0)
        self._taken[name] = count + 1
        return f"{name}_{count}" if count else name

    def _refuse_what_no_file_holds(self) -> None:
        if self._bytes > MAX_WEIGHT_BYTES:
            found = f"holds more than {MAX_WEIGHT_BYTES // 2**20} MiB of weights in one file"
            cure = "build it as fp16 or int8; larger models in one ONNX file are not supported"
            raise InvalidConfig([Fault(self._graph.name, found, cure)])


def _onnx_type(dtype: type[np.generic] | np.dtype) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _value_info(name: str, dtype: type[np.generic], dims: Sequence[str | int]) -> ValueInfoProto:
    from onnx import helper

    return helper.make_tensor_value_info(name, _onnx_type(dtype), list(dims))
