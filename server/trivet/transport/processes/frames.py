"""What the processes say to one another, as bytes. Nothing is executed to read any of it.

A frame is a head (length of its body, kind, number of the call) and a body. The bytes of a message
end a frame; of one longer than PIECE_BYTES the first are in the frame that begins it, and the rest
follows in frames of its own, between which those of other calls may pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from struct import Struct, error
from typing import NamedTuple

from trivet.errors import Code, InvalidInput, ServeError
from trivet.transport.processes.ring import Damaged

PIECE_BYTES = 64 << 10
MAX_BODY_BYTES = 1 << 20  # more is no frame but damage: metadata, texts and a piece stay below
MAX_TEXT = 64 << 10  # characters of a refusal; a transport sends 6 KiB of it

HEAD = Struct("<IBQ")

Value = str | bytes
Trailers = Sequence[tuple[str, Value]]


class Kind(IntEnum):
    """To the owner: CALLED, HALF_CLOSED, BROKEN, CANCELLED, READY, FAILED. To the front end:
    ANSWERED, ENDED, REFUSED, STOP, TOLD. Both ways: MESSAGE, PIECE, TAKEN, BEAT.
    """

    CALLED = 1  # a call begins; with its message, unless there will be many
    MESSAGE = 2  # one of many
    PIECE = 3  # what follows of a long message
    HALF_CLOSED = 4  # the caller has sent all its messages
    BROKEN = 5  # what the caller sent next is none: why
    CANCELLED = 6  # nobody waits for the answer any more
    TAKEN = 7  # of the messages sent so much is used up: as much may follow
    ANSWERED = 8  # the one message of a unary call
    ENDED = 9  # many messages are over, and all is well
    REFUSED = 10  # how the call failed
    READY = 11  # connections are taken
    FAILED = 12  # they cannot be: why, a fault after the other
    STOP = 13  # take leave of the callers, and end
    BEAT = 14  # the owner asks whether somebody is there, and gets it back
    TOLD = 15  # what a companion says to its other part


class Called(NamedTuple):
    """A call as it begins. deadline_s: on the monotonic clock, which all processes share; None
    without one. metadata: see `metadata_of`. size: of the whole message, of which `piece` is here.
    beside: how many of its first bytes are not the caller's, but a companion's.
    """

    method: int  # its place in the table
    deadline_s: float | None
    peer: str
    metadata: bytes
    size: int
    beside: int
    piece: bytes


_CALLED = Struct("<HdHIQI")  # method, deadline, lengths of peer and metadata, size, beside
_MESSAGE = Struct("<QI")  # size, beside
_SIZE = Struct("<Q")
_ANSWERED = Struct("<IQ")  # length of trailers, size
_REFUSED = Struct("<BdI")  # status, seconds after which a retry may help, length of trailers
_PAIR = Struct("<HIB")  # lengths of name and value, whether the value is bytes

_NEVER = float("inf")


def called(
    number: int,
    method: int,
    deadline_s: float | None,
    peer: str,
    metadata: bytes,
    size: int,
    beside: int = 0,
) -> bytes:
    """The frame up to its message, whose first PIECE_BYTES, or all, have to follow."""
    caller = peer.encode()
    fixed = _CALLED.pack(
        method,
        _NEVER if deadline_s is None else deadline_s,
        len(caller),
        len(metadata),
        size,
        beside,
    )
    length = len(fixed) + len(caller) + len(metadata) + min(size, PIECE_BYTES)
    return b"".join((HEAD.pack(length, Kind.CALLED, number), fixed, caller, metadata))


def read_called(data: bytes, at: int, end: int) -> Called:
    """Raises Damaged, as all that read do, for what is none."""
    method, deadline_s, peer_bytes, metadata_bytes, size, beside = _unpack(_CALLED, data, at, end)
    peer_at = at + _CALLED.size
    metadata_at = peer_at + peer_bytes
    piece_at = metadata_at + metadata_bytes
    return Called(
        method,
        None if deadline_s == _NEVER else deadline_s,
        _text(data, peer_at, metadata_at, end),
        data[metadata_at:piece_at],
        size,
        _within(beside, size),
        _piece(data, piece_at, end, size),
    )


def message(number: int, size: int, beside: int = 0) -> bytes:
    """The frame up to its message. beside: as of `Called`."""
    length = _MESSAGE.size + min(size, PIECE_BYTES)
    return HEAD.pack(length, Kind.MESSAGE, number) + _MESSAGE.pack(size, beside)


def read_message(data: bytes, at: int, end: int) -> tuple[int, int, bytes]:
    """Size of the whole, how much of it is beside the message, and what is here of it."""
    size, beside = _unpack(_MESSAGE, data, at, end)
    return size, _within(beside, size), _piece(data, at + _MESSAGE.size, end, size)


def piece(number: int, length: int) -> bytes:
    """The frame up to the piece."""
    return HEAD.pack(length, Kind.PIECE, number)


def answered(number: int, trailers: bytes, size: int) -> bytes:
    """The frame up to its message. trailers: see `pairs`."""
    fixed = _ANSWERED.pack(len(trailers), size)
    length = len(fixed) + len(trailers) + min(size, PIECE_BYTES)
    return b"".join((HEAD.pack(length, Kind.ANSWERED, number), fixed, trailers))


def read_answered(data: bytes, at: int, end: int) -> tuple[Trailers, int, bytes]:
    """Trailers, size of the whole message, and what is here of it."""
    trailers_bytes, size = _unpack(_ANSWERED, data, at, end)
    trailers_at = at + _ANSWERED.size
    piece_at = trailers_at + trailers_bytes
    trailers = read_pairs(data, trailers_at, _within(piece_at, end))
    return trailers, size, _piece(data, piece_at, end, size)


def ended(number: int, trailers: bytes) -> bytes:
    return HEAD.pack(len(trailers), Kind.ENDED, number) + trailers


def refused(
    number: int, failure: ServeError, trailers: bytes = b"", kind: Kind = Kind.REFUSED
) -> bytes:
    """How a call failed; as BROKEN, what its caller sent."""
    text = failure.message[:MAX_TEXT].encode("utf-8", "surrogatepass")
    fixed = _REFUSED.pack(failure.code, failure.retry_after_s, len(trailers))
    length = len(fixed) + len(trailers) + len(text)
    return b"".join((HEAD.pack(length, kind, number), fixed, trailers, text))


def read_refused(data: bytes, at: int, end: int) -> tuple[ServeError, Trailers]:
    code, retry_after_s, trailers_bytes = _unpack(_REFUSED, data, at, end)
    trailers_at = at + _REFUSED.size
    text_at = trailers_at + trailers_bytes
    failure = ServeError(_text(data, text_at, end, end))
    try:
        failure.code = Code(code)
    except ValueError:
        raise Damaged(f"status {code}") from None
    failure.retry_after_s = retry_after_s
    return failure, read_pairs(data, trailers_at, _within(text_at, end))


def cancelled(number: int, *, late: bool) -> bytes:
    """late: since its time is over, and not since its caller left."""
    return HEAD.pack(1, Kind.CANCELLED, number) + (b"\1" if late else b"\0")


def read_cancelled(data: bytes, at: int, end: int) -> bool:
    return data[at:end] == b"\1"


def taken(number: int, cost: int) -> bytes:
    return HEAD.pack(_SIZE.size, Kind.TAKEN, number) + _SIZE.pack(cost)


def read_taken(data: bytes, at: int, end: int) -> int:
    return int(_unpack(_SIZE, data, at, end)[0])


def bare(kind: Kind, number: int = 0, body: bytes = b"") -> bytes:
    """A frame that needs no more than that."""
    return HEAD.pack(len(body), kind, number) + body


def metadata_of(read: Mapping[str, Value]) -> bytes:
    """A caller's metadata. What cannot be read is told by `unreadable` in its place."""
    return b"\0" + pairs(tuple(read.items()))


def unreadable(why: InvalidInput) -> bytes:
    return b"\1" + why.message.encode("utf-8", "surrogatepass")


def read_metadata(block: bytes) -> dict[str, Value]:
    """Raises InvalidInput where there is only told why it cannot be read."""
    if block[:1] == b"\1":
        raise InvalidInput(block[1:].decode("utf-8", "surrogatepass"))
    return dict(read_pairs(block, 1, len(block)))


def pairs(values: Trailers) -> bytes:
    """Names and values, one after the other."""
    parts: list[bytes] = []
    for name, value in values:
        named = name.encode()
        is_bytes = isinstance(value, bytes)
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        parts += (_PAIR.pack(len(named), len(raw), is_bytes), named, raw)
    return b"".join(parts)


def read_pairs(data: bytes, at: int, end: int) -> Trailers:
    if at == end:
        return ()
    found: list[tuple[str, Value]] = []
    while at < end:
        name_bytes, value_bytes, is_bytes = _unpack(_PAIR, data, at, end)
        name_at = at + _PAIR.size
        value_at = name_at + name_bytes
        at = _within(value_at + value_bytes, end)
        value = data[value_at:at]
        name = _text(data, name_at, value_at, end)
        found.append((name, value if is_bytes else _text(data, value_at, at, end)))
    return found


def _unpack(form: Struct, data: bytes, at: int, end: int) -> tuple[int, ...]:
    try:
        _within(at + form.size, end)
        return form.unpack_from(data, at)
    except error as fault:
        raise Damaged(str(fault)) from None


def _piece(data: bytes, at: int, end: int, size: int) -> bytes:
    if end - at != min(size, PIECE_BYTES):
        raise Damaged(f"{end - at} bytes of a message of {size}")
    return data[at:end]


def _text(data: bytes, at: int, end: int, most: int) -> str:
    try:
        return data[at : _within(end, most)].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as fault:
        raise Damaged(str(fault)) from None


def _within(place: int, end: int) -> int:
    if place > end:
        raise Damaged(f"a frame that ends {place - end} bytes too early")
    return place
