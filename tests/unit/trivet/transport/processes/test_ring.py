"""A ring gives back what was written, whatever the sizes, and takes no counter on trust."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.transport.processes.ring import Damaged, Path, Reading, Writing

SIZE = 64


@pytest.fixture
def path() -> Iterator[Path]:
    made = Path(memoryview(bytearray(SIZE)), *_eventfds())
    yield made
    for fd in (made.filled, made.freed):
        os.close(fd)


def _eventfds() -> tuple[int, int]:
    return os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)


@given(st.lists(st.binary(max_size=3 * SIZE), max_size=20), st.randoms(use_true_random=False))
def test_bytes_come_in_their_order(messages: list[bytes], random: object) -> None:
    path = Path(memoryview(bytearray(SIZE)), *_eventfds())
    writing, reading = Writing(path), Reading(path)
    came = b""
    for message in messages:
        rest = message
        while rest:
            written = writing.write(rest)
            rest = rest[written:]
            if rest or random.random() < 0.5:  # type: ignore[attr-defined]
                came += reading.read()
    came += reading.read()
    assert came == b"".join(messages)
    for fd in (path.filled, path.freed):
        os.close(fd)


def test_a_full_ring_takes_what_there_is_room_for(path: Path) -> None:
    writing, reading = Writing(path), Reading(path)
    assert writing.write(bytes(SIZE + 10)) == SIZE
    assert writing.write(b"more") == 0
    assert len(reading.read()) == SIZE
    assert writing.write(b"more") == 4
    assert reading.read() == b"more"
    assert reading.read() == b""


@pytest.mark.parametrize("told", [SIZE + 1, 2**63])
def test_a_count_that_no_ring_can_have_is_damage(path: Path, told: int) -> None:
    os.eventfd_write(path.filled, told)
    with pytest.raises(Damaged, match=f"{told} bytes in a ring"):
        Reading(path).read()
    writing = Writing(path)
    writing.write(bytes(SIZE - 1))
    os.eventfd_write(path.freed, told)
    with pytest.raises(Damaged):
        writing.write(b"two")


def test_a_counter_that_is_full_is_damage(path: Path) -> None:
    os.eventfd_write(path.filled, 2**64 - 2)
    with pytest.raises(Damaged, match="counter"):
        Writing(path).write(b"x")
