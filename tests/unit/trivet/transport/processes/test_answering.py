"""The owner takes nothing on trust that a front-end process says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from trivet.frontend.method import Answers, BidiStream, Call, Unary
from trivet.transport.processes import frames
from trivet.transport.processes.answering import Answering
from trivet.transport.processes.frames import HEAD, PIECE_BYTES, Kind
from trivet.transport.processes.link import Link
from trivet.transport.processes.ring import Damaged

MAX_MESSAGE = 2 * PIECE_BYTES
NOTHING = frames.metadata_of({})


class Sent:
    """A link that keeps what is sent."""

    def __init__(self) -> None:
        self.kinds: list[int] = []

    async def send_message(self, number: int, head: bytes, message: bytes) -> None:
        self.send(head)

    def send(self, frame: bytes) -> None:
        self.kinds.append(HEAD.unpack_from(frame)[1])


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    async def echo(message: bytes, call: Call) -> bytes:
        return message

    async def double(messages: AsyncIterator[bytes], call: Call) -> Answers:
        async for message in messages:
            yield 2 * message

    async def give_up(message: bytes, call: Call) -> bytes:
        raise asyncio.CancelledError

    methods = {"/Echo": Unary(echo), "/Double": BidiStream(double), "/GiveUp": Unary(give_up)}
    made = Answering(methods, MAX_MESSAGE, int)
    made.link = cast(Link, Sent())
    yield made
    await made.close()


def take(answering: Answering, frame: bytes) -> None:
    _, kind, number = HEAD.unpack_from(frame)
    answering.on_frame(kind, number, frame, HEAD.size, len(frame))


def begin(method: int, size: int = 0, number: int = 1) -> bytes:
    return frames.called(number, method, None, "peer", NOTHING, size) + bytes(
        min(size, PIECE_BYTES)
    )


LONG = begin(0, PIECE_BYTES + 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"", begin(3)),
        (b"", begin(0, MAX_MESSAGE + 1)),
        (begin(1), begin(1)),
        (begin(1), frames.piece(1, 1) + b"x"),
        (begin(1), frames.message(1, MAX_MESSAGE + 1) + bytes(PIECE_BYTES)),
        (begin(1), frames.taken(1, 1)),
        (begin(1), frames.bare(Kind.READY, 1)),
        (LONG, frames.piece(1, 2) + b"xx"),
        (LONG, frames.message(1, 1) + b"x"),
        (LONG, frames.bare(Kind.HALF_CLOSED, 1)),
    ],
)
async def test_what_no_front_end_sends_is_damage(
    answering: Answering, first: bytes, second: bytes
) -> None:
    if first:
        take(answering, first)
    with pytest.raises(Damaged):
        take(answering, second)


async def test_what_comes_for_a_call_that_is_over_is_passed_over(answering: Answering) -> None:
    take(answering, begin(1))
    take(answering, frames.cancelled(1, late=False))
    for frame in (
        frames.cancelled(1, late=False),
        frames.message(1, 1) + b"x",
        frames.bare(Kind.HALF_CLOSED, 1),
    ):
        take(answering, frame)
    await answering.close()
    assert cast(Sent, answering.link).kinds == []


async def test_who_is_cut_off_by_the_server_is_told(answering: Answering) -> None:
    take(answering, begin(2))
    sent = cast(Sent, answering.link)
    async with asyncio.timeout(20):
        while not sent.kinds:
            await asyncio.sleep(0)
    assert sent.kinds == [Kind.REFUSED]
    take(answering, begin(2))  # its number is free again
