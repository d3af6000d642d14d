"""Frames are read as they were written, and what is none is Damaged, never anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import Code, InvalidInput, Overloaded, ServeError
from trivet.transport.processes import frames
from trivet.transport.processes.frames import (
    HEAD,
    MAX_BODY_BYTES,
    MAX_TEXT,
    PIECE_BYTES,
    Called,
    Kind,
)
from trivet.transport.processes.ring import Damaged

NUMBERS = st.integers(0, 2**64 - 1)
TEXTS = st.text(max_size=50)
PAIRS = st.lists(st.tuples(TEXTS, st.one_of(TEXTS, st.binary(max_size=50))), max_size=5)
SIZES = st.one_of(st.integers(0, 100), st.integers(PIECE_BYTES - 1, 3 * PIECE_BYTES))


def body(frame: bytes, kind: Kind, number: int) -> tuple[bytes, int, int]:
    """What a reader is given of a frame, with other bytes on both sides."""
    length, is_kind, is_number = HEAD.unpack_from(frame)
    assert (length, is_kind, is_number) == (len(frame) - HEAD.size, kind, number)
    assert length <= MAX_BODY_BYTES
    return b"before" + frame + b"behind", 6 + HEAD.size, 6 + len(frame)


@given(
    NUMBERS,
    st.integers(0, 2**16 - 1),
    st.one_of(st.none(), st.floats(0, 1e12)),
    TEXTS,
    st.dictionaries(TEXTS, st.one_of(TEXTS, st.binary(max_size=50)), max_size=5),
    SIZES,
    st.integers(0, 2**20),
)
def test_a_call(
    number: int,
    method: int,
    deadline_s: float | None,
    peer: str,
    metadata: dict[str, str | bytes],
    size: int,
    beside: int,
) -> None:
    beside = min(beside, size)
    block, piece = frames.metadata_of(metadata), bytes(min(size, PIECE_BYTES))
    frame = frames.called(number, method, deadline_s, peer, block, size, beside) + piece
    read = frames.read_called(*body(frame, Kind.CALLED, number))
    assert read == Called(method, deadline_s, peer, block, size, beside, piece)
    assert frames.read_metadata(read.metadata) == metadata


def test_metadata_that_cannot_be_read_is_refused_where_it_is_asked_for() -> None:
    block = frames.unreadable(InvalidInput("the metadata 'x-bin' is not base64"))
    with pytest.raises(InvalidInput, match="'x-bin' is not base64"):
        frames.read_metadata(block)


@given(NUMBERS, PAIRS, SIZES)
def test_an_answer(number: int, trailers: list[tuple[str, str | bytes]], size: int) -> None:
    piece = bytes(min(size, PIECE_BYTES))
    frame = frames.answered(number, frames.pairs(trailers), size) + piece
    told, whole, here = frames.read_answered(*body(frame, Kind.ANSWERED, number))
    assert (list(told), whole, here) == (trailers, size, piece)
    told = frames.read_pairs(
        *body(frames.ended(number, frames.pairs(trailers)), Kind.ENDED, number)
    )
    assert list(told) == trailers


@given(NUMBERS, SIZES, st.integers(0, 2**20))
def test_a_message_of_many(number: int, size: int, beside: int) -> None:
    piece, beside = bytes(min(size, PIECE_BYTES)), min(beside, size)
    frame = frames.message(number, size, beside) + piece
    assert frames.read_message(*body(frame, Kind.MESSAGE, number)) == (size, beside, piece)


def test_what_goes_beside_a_message_is_a_part_of_it() -> None:
    with pytest.raises(Damaged):
        frames.read_message(*body(frames.message(1, 8, 9) + bytes(8), Kind.MESSAGE, 1))


@given(NUMBERS, st.sampled_from(Code), TEXTS, st.floats(0, 1e6), PAIRS)
def test_a_refusal(
    number: int,
    code: Code,
    text: str,
    retry_after_s: float,
    trailers: list[tuple[str, str | bytes]],
) -> None:
    failure = ServeError(text)
    failure.code, failure.retry_after_s = code, retry_after_s
    frame = frames.refused(number, failure, frames.pairs(trailers))
    read, told = frames.read_refused(*body(frame, Kind.REFUSED, number))
    assert (read.code, read.message, read.retry_after_s) == (code, text, retry_after_s)
    assert list(told) == trailers


def test_a_refusal_tells_of_a_retry_and_a_long_text_is_cut() -> None:
    frame = frames.refused(1, Overloaded("x" + "é" * MAX_BODY_BYTES))
    read, _ = frames.read_refused(*body(frame, Kind.REFUSED, 1))
    assert read.code is Code.UNAVAILABLE
    assert read.retry_after_s == Overloaded.retry_after_s
    assert read.message == "x" + "é" * (MAX_TEXT - 1)


@given(NUMBERS, st.booleans(), st.integers(0, 2**64 - 1))
def test_small_ones(number: int, late: bool, cost: int) -> None:
    frame = frames.cancelled(number, late=late)
    assert frames.read_cancelled(*body(frame, Kind.CANCELLED, number)) is late
    assert frames.read_taken(*body(frames.taken(number, cost), Kind.TAKEN, number)) == cost
    assert body(frames.bare(Kind.STOP), Kind.STOP, 0)


READERS: list[Callable[..., Any]] = [
    frames.read_called,
    frames.read_message,
    frames.read_answered,
    frames.read_refused,
    frames.read_taken,
    frames.read_pairs,
]


@pytest.mark.parametrize("read", READERS)
@given(
    data=st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(b"\0\1\2\xff"), max_size=60))
)
def test_any_bytes_are_read_or_damaged(read: Callable[..., Any], data: bytes | list[int]) -> None:
    try:
        read(bytes(data), 0, len(data))
    except Damaged:
        return
