"""Headers and trailers: times, texts and binary values as gRPC writes them."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from itertools import chain
from urllib.parse import quote

from trivet.errors import InvalidInput, ResourceExhausted, ServeError
from trivet.transport.options import MAX_METADATA_BYTES

Headers = list[tuple[bytes, bytes]]

# What is the protocol's own, and not the caller's.
_RESERVED = frozenset(
    (b"content-type", b"te", b"host", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding")
)
_BINARY = "-bin"
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_AS_IT_IS = "".join(chr(code) for code in range(ord(" "), ord("~") + 1) if chr(code) != "%")


def check_size(headers: Headers) -> None:
    """Raises ResourceExhausted for more metadata than a call may bring."""
    size = len(b"".join(chain.from_iterable(headers)))
    if size > MAX_METADATA_BYTES:
        raise ResourceExhausted(
            f"received metadata size exceeds hard limit ({size} vs. {MAX_METADATA_BYTES})"
        )


def seconds(timeout: bytes) -> float:
    """A grpc-timeout, e.g. b"100m". Raises ServeError for anything else."""
    number, unit = timeout[:-1], _SECONDS.get(timeout[-1:])
    if unit is None or not number.isdigit() or len(number) > 8:
        raise ServeError("grpc-timeout is not one to eight digits and a unit (H, M, S, m, u or n)")
    return int(number) * unit


def read(headers: Headers) -> dict[str, str | bytes]:
    """The caller's metadata; of a repeated name, the last value."""
    return {
        name.decode("ascii"): value.decode("latin-1")
        if not name.endswith(b"-bin")
        else _binary(name, value)
        for name, value in headers
        if name not in _RESERVED
    }


def written(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    """Metadata as trailers."""
    return [(name.encode(), _value(name, value)) for name, value in metadata]


def status(code: int, text: str, trailers: Sequence[tuple[str, str | bytes]] = ()) -> Headers:
    """What tells how a call ended."""
    told = [(b"grpc-status", str(int(code)).encode())]
    if text:
        told.append((b"grpc-message", quote(text, safe=_AS_IT_IS).encode()))
    return told + written(trailers)


def _binary(name: bytes, value: bytes) -> bytes:
    """Base64, with or without padding; of values joined by commas, the last."""
    last = value.rpartition(b",")[2].strip()
    try:
        return binascii.a2b_base64(last + b"=" * (-len(last) % 4), strict_mode=True)
    except binascii.Error:
        raise InvalidInput(f"the metadata '{name.decode('ascii')}' is not base64") from None


def _value(name: str, value: str | bytes) -> bytes:
    if name.endswith(_BINARY):
        raw = value.encode() if isinstance(value, str) else value
        return binascii.b2a_base64(raw, newline=False).rstrip(b"=")
    return value if isinstance(value, bytes) else value.encode()
