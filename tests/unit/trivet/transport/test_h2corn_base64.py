"""Bodies in base64, however they are cut and padded."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import ServeError
from trivet.transport.h2corn.base64 import Base64Reader, decoding, encoded


def read(text: bytes, size: int) -> bytes:
    """Through chunks of some size."""
    reader = Base64Reader()
    data = b"".join(reader.feed(text[at : at + size]) for at in range(0, len(text), size))
    reader.end()
    return data


@given(parts=st.lists(st.binary(max_size=9), max_size=5), size=st.integers(1, 12))
def test_parts_that_are_padded_each_come_whole_however_they_are_cut(
    parts: list[bytes], size: int
) -> None:
    assert read(b"".join(map(encoded, parts)), size) == b"".join(parts)


@given(text=st.binary(max_size=40), size=st.integers(1, 12))
def test_whatever_comes_is_bytes_or_refused(text: bytes, size: int) -> None:
    try:
        data = read(text, size)
    except ServeError:
        return
    assert len(data) <= len(text) * 3 // 4


@pytest.mark.parametrize(
    "text",
    [
        b"AAA",
        b"A",
        b"AA=",
        b"====",
        b"A===",
        b"=AAA",
        b"AA=A",
        b"AA-_",
        b"AA A",
        b"AAAA\n",
        b"A\0AA",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 9])
def test_what_is_no_base64_is_refused(text: bytes, size: int) -> None:
    with pytest.raises(ServeError, match="base64"):
        read(text, size)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_text_is_padded_and_on_one_line(data: bytes) -> None:
    assert encoded(data) == base64.b64encode(data)


async def test_events_are_the_same_with_bytes_in_them() -> None:
    events: Any = iter(
        [
            {"type": "http.request", "body": b"aGk", "more_body": True},
            {"type": "http.request", "more_body": True},
            {"type": "http.request", "body": b"="},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(events)

    reading = decoding(receive)
    assert [await reading() for _ in range(4)] == [
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"hi", "more_body": False},
        {"type": "http.disconnect"},
    ]
