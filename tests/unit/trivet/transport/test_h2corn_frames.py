"""Messages in a body: however its bytes are cut, the same messages come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import ResourceExhausted, ServeError
from trivet.transport.h2corn.frames import Frames, framed


def read(chunks: list[bytes], limit: int = 1 << 20) -> list[bytes]:
    frames, messages = Frames(limit), []
    for chunk in chunks:
        frames.feed(chunk)
        while (taken := frames.take()) is not None:
            messages.append(taken[1])
    frames.check_ended()
    return messages


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_messages_come_whole_and_in_order_however_they_are_cut(
    messages: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(map(framed, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    ends = [*cuts, len(body)]
    chunks = [body[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    assert read([chunk for chunk in chunks if chunk]) == messages


def test_a_message_over_the_limit_is_refused_by_its_length_alone() -> None:
    frames = Frames(1000)
    frames.feed(framed(b"x" * 1001)[:5])
    with pytest.raises(ResourceExhausted, match=r"larger than max \(1001 vs. 1000\)"):
        frames.take()


def test_a_body_that_ends_in_a_message_is_told() -> None:
    with pytest.raises(ServeError, match="ended 7 bytes into a message"):
        read([framed(b"hello")[:7]])


def test_the_flag_is_given_beside_the_message() -> None:
    frames = Frames(10)
    frames.feed(framed(b"x", compressed=True))
    assert frames.take() == (1, b"x")
