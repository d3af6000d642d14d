"""A `ModelConfig` as JSON, the way Triton hands it to models that are written in Python."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from trivet.config import ModelConfig
from trivet.config_file.writer import to_proto

# Fields that models look up without asking whether they are there.
_ALWAYS = ("name", "platform", "backend", "max_batch_size", "input", "output", "parameters")


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Plain values under config.pbtxt's own names; whole numbers are numbers, also of 64 bits.

    Messages that are not set are left out, but their unset fields of plain types are there.
    """
    message = to_proto(config)
    values = _values(message)
    if not message.HasField("model_transaction_policy"):
        values["model_transaction_policy"] = {"decoupled": False}
    return {name: values.get(name, "") for name in _ALWAYS} | values


def _values(message: Message) -> dict[str, Any]:
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {str(key): _one(of, value[key]) for key in value}
    if field.is_repeated:
        return [_one(field, one) for one in value]
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return _values(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value.decode("latin-1") if isinstance(value, bytes) else value
