"""Two ends of a link on one loop: frames go in their order, together, and wait when it is full."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from trivet.transport.processes import frames
from trivet.transport.processes.frames import HEAD, PIECE_BYTES, Kind
from trivet.transport.processes.link import RING_BYTES, Link
from trivet.transport.processes.ring import Damaged, Path, Reading, Writing


class Ends:
    """Two links; what one sends, the other has in `came`."""

    def __init__(self, held: ExitStack) -> None:
        self.came: list[tuple[int, int, bytes]] = []
        self.damage: list[Damaged] = []
        self.paths = []
        for _ in range(2):
            fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
            for fd in fds:
                held.callback(os.close, fd)
            self.paths.append(Path(memoryview(bytearray(RING_BYTES)), *fds))
        there, back = self.paths
        self.near = Link(Writing(there), Reading(back), self._take, self.damage.append)
        self.far = Link(Writing(back), Reading(there), self._take, self.damage.append)
        held.callback(self.near.close)
        held.callback(self.far.close)

    def _take(self, kind: int, number: int, data: bytes, at: int, end: int) -> None:
        self.came.append((kind, number, data[at:end]))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.came) < count:
                await asyncio.sleep(0)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    with ExitStack() as held:
        yield Ends(held)


async def test_what_is_sent_in_one_turn_arrives_with_one_wake_up(ends: Ends) -> None:
    for number in range(100):
        ends.near.send(frames.bare(Kind.HALF_CLOSED, number))
    await asyncio.sleep(0)
    assert os.eventfd_read(ends.paths[0].filled) == 100 * HEAD.size


async def test_long_messages_of_two_calls_share_the_way(ends: Ends) -> None:
    messages = {number: os.urandom(4 * RING_BYTES + number) for number in (1, 2)}
    sent = [
        asyncio.create_task(ends.near.send_message(number, frames.message(number, len(m)), m))
        for number, m in messages.items()
    ]
    pieces = sum(-(-len(message) // PIECE_BYTES) for message in messages.values())
    await ends.until(pieces)
    await asyncio.gather(*sent)
    numbers = [number for _, number, _ in ends.came]
    assert sum(a != b for a, b in pairwise(numbers)) > 4, "one after the other"
    for number, message in messages.items():
        came = b"".join(body for _, of, body in ends.came if of == number)
        assert came[12:] == message  # its length is in front of it, and that it is alone


async def test_all_wait_while_it_is_full_and_who_leaves_holds_back_nobody(ends: Ends) -> None:
    ends.far.close()  # nobody reads
    message = bytes(PIECE_BYTES)
    while not ends.near.is_full:
        ends.near.send(frames.message(1, len(message)), message)
        await asyncio.sleep(0)  # into the ring, while it takes something
    waiting = [asyncio.create_task(ends.near.room()) for _ in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    for task in waiting[:15]:
        task.cancel()
    reading = Reading(ends.paths[0])
    async with asyncio.timeout(20):
        while not all(task.done() for task in waiting):
            reading.read()
            await asyncio.sleep(0)
    assert not any(task.cancelled() for task in waiting[15:])


async def test_what_is_no_frame_ends_the_link_and_is_told(ends: Ends) -> None:
    ends.near.send(HEAD.pack(2**31, Kind.CALLED, 1))
    async with asyncio.timeout(20):
        while not ends.damage:
            await asyncio.sleep(0)
    assert "frame of 2147483648 bytes" in str(ends.damage[0])
