"""The ring and the frames of the Python backend: what goes in at one end comes out at the other."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet_backends.python.frames import (
    Kind,
    Named,
    Reader,
    Unreadable,
    Writer,
    datatype_of,
    prepared,
)
from trivet_backends.python.ring import Damaged, Path, Receiving, Sending

SIZE = 64


def wait(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(10_000), "nothing came in ten seconds"


@pytest.fixture
def path() -> Iterator[Path]:
    made = Path(memoryview(bytearray(SIZE)), *(os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)))
    yield made
    os.close(made.filled)
    os.close(made.freed)


def messages() -> list[bytes]:
    """Some longer than the ring, some that end where it ends, some empty."""
    sizes = [0, 1, 5, SIZE - 8, SIZE, SIZE + 1, 3 * SIZE, 10_007, 0, 31, 33]
    return [bytes((n + size) % 251 for n in range(size)) for size in sizes]


def test_messages_of_any_length_come_out_as_they_went_in(path: Path) -> None:
    def write() -> None:
        sending = Sending(path, wait)
        for message in messages():
            sending.send([message[:3], memoryview(message)[3:]])

    writer = threading.Thread(target=write)
    writer.start()
    receiving = Receiving(path, wait)
    assert [bytes(receiving.receive()) for _ in messages()] == messages()
    writer.join()


def test_a_full_ring_holds_its_writer_until_there_is_room(path: Path) -> None:
    waited: list[int] = []

    class Held(Exception):
        pass

    def hold(fd: int) -> None:
        waited.append(fd)
        raise Held

    sending = Sending(path, hold)
    sending.send([bytes(SIZE - 8)])
    with pytest.raises(Held):
        sending.send([b"x"])
    assert waited == [path.freed]


def test_numbers_that_cannot_be_are_no_message(path: Path) -> None:
    os.eventfd_write(path.filled, SIZE + 1)
    with pytest.raises(Damaged, match="65 bytes in a ring of 64"):
        Receiving(path, wait).receive()


def test_a_length_that_cannot_be_is_no_message(path: Path) -> None:
    path.memory[:8] = b"\xff" * 8
    os.eventfd_write(path.filled, 8)
    with pytest.raises(Damaged, match="a message of"):
        Receiving(path, wait).receive()


ARRAYS = {
    "bools": np.array([[True, False]]),
    "bytes": np.array([[b"", b"\0\n", "Zoë".encode()]], dtype=object),
    "halves": np.array([1.5], np.float16),
    "brains": np.array([1.5, -3], ml_dtypes.bfloat16),
    "scalar": np.array(7, np.uint64),
    "nothing": np.empty((0, 3), np.float32),
    "no words": np.empty((2, 0), object),
    "strided": np.arange(24, dtype=np.int32).reshape(4, 6)[::2, ::3],
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "swapped": np.array([1, 2], ">i8"),
    "large": np.arange(5_000, dtype=np.int16),
}


def written(message: Writer) -> bytearray:
    return bytearray(b"".join(message.parts))


def message_of(arrays: dict[str, np.ndarray]) -> bytearray:
    message = Writer(Kind.EXECUTE)
    message.tensors(
        [prepared(name, Named(datatype_of(array), array)) for name, array in arrays.items()]
    )
    return written(message)


def test_tensors_come_out_as_they_went_in() -> None:
    found = Reader(message_of(ARRAYS)).tensors()
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name].array, array, err_msg=name)
        assert found[name].array.shape == array.shape
        assert found[name].datatype == datatype_of(array)
    assert found["large"].array.flags.writeable


@given(st.binary(max_size=400), st.data())
def test_any_bytes_are_a_message_or_are_refused(junk: bytes, data: st.DataObject) -> None:
    whole = message_of({"a": ARRAYS["bytes"], "b": ARRAYS["strided"]})
    cut = data.draw(st.integers(0, len(whole)))
    for broken in (bytearray(junk), whole[:cut] + junk, whole[: cut // 2] + whole[cut:]):
        try:
            reader = Reader(broken)
            reader.tensors()
            reader.json()
        except Unreadable:
            continue


def test_what_no_tensor_of_bytes_holds_is_named() -> None:
    with pytest.raises(Unreadable, match="'words' holds a int, and is BYTES; give bytes or text"):
        prepared("words", Named("BYTES", np.array([1, b"x"], dtype=object)))
