"""The file's names of element types and the wire's: TYPE_FP32 is "FP32", TYPE_STRING is "BYTES"."""

from __future__ import annotations

from trivet_protos.generated import model_config_pb2 as pb


def wire_name(number: int) -> str:
    """The wire's name of an `inference.DataType`; "" for TYPE_INVALID and unknown numbers."""
    if number == pb.TYPE_INVALID or number not in pb.DataType.values():
        return ""
    name = pb.DataType.Name(number)
    return "BYTES" if name == "TYPE_STRING" else name.removeprefix("TYPE_")


def data_type(wire_name: str) -> str:
    """The file's name of a wire's name: "TYPE_STRING" for "BYTES"."""
    return "TYPE_STRING" if wire_name == "BYTES" else f"TYPE_{wire_name}"
