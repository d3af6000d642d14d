"""Numbers that callers give, refused under their own names: protobuf's refusals name nothing."""

from __future__ import annotations

from operator import index

from trivet_client.errors import invalid

_UINT32 = range(2**32)


def whole(name: str, value: int) -> int:
    """The value, of Python or numpy. Raises InvalidArgument for what is no whole number from 0."""
    try:
        number = -1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = -1
    if number not in _UINT32:
        raise invalid(f"{name} is {value!r}; give a whole number from 0 up")
    return number
