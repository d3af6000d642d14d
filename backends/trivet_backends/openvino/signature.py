"""What a model tells of its tensors, in the server's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trivet.backend.contract import Signature
from trivet.config import TensorSpec
from trivet.errors import Fault, InvalidConfig
from trivet_backends.openvino.symbols import Symbols, symbols_of

if TYPE_CHECKING:
    import openvino

# The model's element types that numpy carries to the engine and back. BF16 is none of them.
DATATYPES = {
    "boolean": "BOOL",
    "u8": "UINT8",
    "u16": "UINT16",
    "u32": "UINT32",
    "u64": "UINT64",
    "i8": "INT8",
    "i16": "INT16",
    "i32": "INT32",
    "i64": "INT64",
    "f16": "FP16",
    "f32": "FP32",
    "f64": "FP64",
}


def port_names(ports: Sequence[openvino.Output]) -> list[str]:
    """The name of each port: the tensor's, or where it has none that of its node."""
    return [
        port.get_any_name() if port.get_names() else port.get_node().get_friendly_name()
        for port in ports
    ]


def signature(model: openvino.Model, where: str) -> Signature:
    """Translate a model's inputs and outputs; shapes and symbols include the batch dimension.

    Raises InvalidConfig naming every tensor whose type or rank cannot be served.
    """
    inputs = dict(zip(port_names(model.inputs), model.inputs, strict=True))
    outputs = dict(zip(port_names(model.outputs), model.outputs, strict=True))
    faults = [
        fault
        for name, port in (*inputs.items(), *outputs.items())
        if (fault := _fault(name, port, where))
    ]
    if faults:
        raise InvalidConfig(faults)
    symbols = symbols_of(model, list(inputs))
    return Signature(
        inputs=_specs(inputs, symbols.inputs), outputs=_specs(outputs, symbols.outputs)
    )


def _specs(
    ports: Mapping[str, openvino.Output], symbols: Sequence[Symbols]
) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=name,
            datatype=DATATYPES[port.get_element_type().get_type_name()],
            dims=tuple(
                -1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape()
            ),
            symbols=told,
        )
        for (name, port), told in zip(ports.items(), symbols, strict=True)
    )


def _fault(name: str, port: openvino.Output, where: str) -> Fault | None:
    at, element = f"{where}: tensor '{name}'", port.get_element_type().get_type_name()
    if element not in DATATYPES:
        what, cure = f"its type {element} cannot be served", ", ".join(DATATYPES)
        return Fault(at, what, f"change the model to one of {cure}")
    if port.get_partial_shape().rank.is_dynamic:
        what = "it does not say how many dimensions it has"
        return Fault(at, what, "convert the model again, with shapes for its inputs")
    return None
