"""A look at a large message before it is parsed.

A field of two bytes unfolds into a message of ninety, so that 64 MiB of empty inputs would take
3 GB and keep the event loop for two seconds before anybody could count them. Their fields can be
counted in the bytes as they came; what is looked at is never more than what is taken.
"""

from __future__ import annotations

from collections.abc import Collection

# Smaller messages are parsed at once: what they unfold into is no matter, and most are small.
LOOKED_AT_BYTES = 1 << 16

_MAX_VARINT = 10  # bytes
_MAX_TEXT = 4096  # bytes; no name has more


def has_more_fields(message: bytes, most: int, inside: Collection[int] = ()) -> bool:
    """Whether a message has more than so many fields, or groups, which no client writes.

    inside: numbers of the fields that are messages whose own fields count as well. Bytes that are
    no message have as many fields as come before what is wrong; parsing says the rest.
    """
    return _left(message, 0, len(message), most, inside) < 0


def first_text(message: bytes) -> str:
    """The text in field 1, where a message begins with it, as all libraries write it; else none."""
    try:
        if message[0] != 1 << 3 | 2:
            return ""
        size, place = _varint(message, 1)
    except IndexError:
        return ""
    return message[place : place + min(size, _MAX_TEXT)].decode("utf-8", "replace")


def _left(message: bytes, place: int, end: int, most: int, inside: Collection[int]) -> int:
    """How many more fields might have come than did from `place` to `end`; below 0: too many."""
    try:
        while place < end and most >= 0:
            tag, place = _varint(message, place)
            most -= 1
            match tag & 7:
                case 2:  # bytes, a text or a message
                    size, place = _varint(message, place)
                    stop = place + size
                    if stop > end:
                        return most
                    if (tag & 0xFFFFFFFF) >> 3 in inside:
                        most = _left(message, place, stop, most, ())
                    place = stop
                case 0:  # a number
                    _, place = _varint(message, place)
                case 1:  # 8 bytes
                    place += 8
                case 5:  # 4 bytes
                    place += 4
                case 3 | 4:  # a group
                    return -1
                case _:
                    return most
    except IndexError:  # it ends in the middle of a number
        pass
    return most


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the least first, and the place behind it.

    Raises IndexError if it does not end where a number must.
    """
    octet = message[place]
    if octet < 0x80:
        return octet, place + 1
    number = octet & 0x7F
    for index in range(1, _MAX_VARINT):
        octet = message[place + index]
        number |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            return number, place + index + 1
    raise IndexError
