"""Values of enums that there are not: as names, which the parser refuses, and as numbers.

Protobuf takes any number for an enum, in text and in JSON. Whoever reads a message after this finds
names only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from trivet.config_file.faults import Faults


def told_of_no_value(enum: EnumDescriptor, written: str | int) -> tuple[str, str]:
    """What is wrong with a value that the enum has not, and the cure."""
    names = [value.name for value in enum.values if "INVALID" not in value.name]
    shown = f"'{written}'" if isinstance(written, str) else written
    return f"there is no {enum.name} {shown}", f"write one of {', '.join(names)}"


def stand_in(enum: str) -> int:
    """A value of the enum, which has this full name, that no later check stumbles over."""
    return 1 if enum == "inference.DataType" else 0


def mend_numbers(message: Message, where: str, faults: Faults) -> None:
    """Add a fault for every number that no value of its enum has, and put one that is in its place.

    where: how messages name the file.
    """
    for place, owner, field in _enums(message):
        number = getattr(owner, field.name)
        if number not in field.enum_type.values_by_number:
            faults.add(f"{where}: {place}", *told_of_no_value(field.enum_type, number))
            setattr(owner, field.name, stand_in(field.enum_type.full_name))


def _enums(message: Message, place: str = "") -> Iterator[tuple[str, Message, FieldDescriptor]]:
    """Every enum that is set, outermost first: its place, and the message and field it is of."""
    for field, value in message.ListFields():
        own = f"{place}{field.name}"
        if field.enum_type is not None:
            yield own, message, field  # ModelConfig has no list of enums
        for at, inner in _messages(field, value, own):
            yield from _enums(inner, f"{at}.")


def _messages(field: FieldDescriptor, value: Any, place: str) -> Iterator[tuple[str, Message]]:
    """The messages that a field holds, each with its place."""
    if field.message_type is None:
        return
    if isinstance(value, Message):
        yield place, value
    elif not field.message_type.GetOptions().map_entry:
        for index, one in enumerate(value):
            yield f"{place}[{index}]", one
    elif field.message_type.fields_by_name["value"].message_type is not None:
        for key, one in sorted(value.items()):
            shown = f'"{key}"' if isinstance(key, str) else key
            yield f"{place}[{shown}]", one
