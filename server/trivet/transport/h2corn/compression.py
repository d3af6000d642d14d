"""Compressed messages: gzip and deflate (zlib's format), both ways."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from trivet.errors import ResourceExhausted, ServeError, Unimplemented
from trivet.transport.options import Compression

IDENTITY, GZIP, DEFLATE = b"identity", b"gzip", b"deflate"
ACCEPTED = b"identity, deflate, gzip"

_WINDOW_BITS = {GZIP: 16 + zlib.MAX_WBITS, DEFLATE: zlib.MAX_WBITS}

Compress = Callable[[bytes], bytes]


def check_encoding(encoding: bytes) -> None:
    """Raises Unimplemented for an encoding that is not known here."""
    if encoding not in _WINDOW_BITS and encoding != IDENTITY:
        name = encoding.decode("ascii", "replace")[:40]
        raise Unimplemented(
            f"grpc-encoding '{name}' is not known here; use one of {ACCEPTED.decode()}"
        )


def decompressed(message: bytes, encoding: bytes, limit: int) -> bytes:
    """A message whose flag says that it is compressed.

    limit: bytes that it may have decompressed; no more than that is held.
    Raises ResourceExhausted above it, ServeError for what is not of that encoding.
    """
    if encoding not in _WINDOW_BITS:
        raise ServeError("a message says that it is compressed, and grpc-encoding does not say how")
    if not message:  # as grpc has it
        return message
    reader = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = reader.decompress(message, limit + 1)
    except zlib.error:
        raise _broken(encoding) from None
    if len(plain) > limit:
        raise ResourceExhausted("Decompressed message larger than max")
    # Cut short, or something follows that nobody would read.
    if not reader.eof or reader.unused_data:
        raise _broken(encoding)
    return plain


def encoding_for(level: Compression, accepted: bytes) -> bytes:
    """What answers are compressed with: gzip for a low level, else deflate, if the caller reads it.

    accepted: the caller's grpc-accept-encoding.
    """
    if level is Compression.NONE or not accepted:
        return IDENTITY
    names = {name.strip() for name in accepted.split(b",")}
    wanted = (GZIP, DEFLATE) if level is Compression.LOW else (DEFLATE, GZIP)
    return next((name for name in wanted if name in names), IDENTITY)


def compressed(message: bytes, encoding: bytes) -> bytes | None:
    """The message compressed; None where that makes it no smaller."""
    writer = zlib.compressobj(wbits=_WINDOW_BITS[encoding])
    packed = writer.compress(message) + writer.flush()
    return packed if len(packed) < len(message) else None


def _broken(encoding: bytes) -> ServeError:
    return ServeError(f"a message is no {encoding.decode()} data")
