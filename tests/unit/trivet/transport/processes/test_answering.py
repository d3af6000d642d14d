"""The owner takes nothing on trust that a front-end process says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from trivet.frontend.method import Accompanied, Answers, BidiStream, Call, Unary
from trivet.transport.processes import frames
from trivet.transport.processes.answering import Answering
from trivet.transport.processes.flow import cost_of
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


class Companion:
    """One that finds "?" wherever it is."""

    front = int

    def subscribe(self, tell: Callable[[bytes], None]) -> Callable[[], None]:
        return lambda: None

    def read(self, beside: bytes) -> object:
        if beside != b"?":
            raise ValueError("it is something else")
        return "found"


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
    made = Answering(methods, MAX_MESSAGE, int, Companion())
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


@pytest.mark.parametrize(
    "frame",
    [
        frames.called(1, 0, None, "peer", NOTHING, 3, 2) + b"??x",
        frames.called(1, 0, None, "peer", NOTHING, 3, 4) + b"??x",
        frames.called(1, 0, None, "peer", NOTHING, 2 << 20, (1 << 20) + 1) + bytes(PIECE_BYTES),
    ],
)
async def test_what_no_companion_says_is_damage(answering: Answering, frame: bytes) -> None:
    with pytest.raises(Damaged):
        take(answering, frame)


async def test_beside_a_message_is_only_what_a_companion_reads() -> None:
    made = Answering({"/Echo": Unary(cast(Any, None))}, MAX_MESSAGE, int)
    with pytest.raises(Damaged):
        take(made, frames.called(1, 0, None, "peer", NOTHING, 2, 1) + b"?x")


async def test_a_method_gets_its_message_and_what_was_found_out_about_it() -> None:
    seen: list[tuple[bytes, object, int]] = []

    async def note(message: bytes, call: Call) -> bytes:
        assert isinstance(message, Accompanied)
        seen.append((message, message.beside, cost_of(message)))
        return b""

    async def note_all(messages: AsyncIterator[bytes], call: Call) -> Answers:
        async for message in messages:
            yield await note(message, call)

    made = Answering(
        {"/Note": Unary(note), "/All": BidiStream(note_all)}, MAX_MESSAGE, int, Companion()
    )
    sent = Sent()
    made.link = cast(Link, sent)
    long = bytes(PIECE_BYTES)  # with what is beside it, more than a piece
    whole = b"?" + long
    take(made, frames.called(1, 0, None, "p", NOTHING, len(whole), 1) + whole[:PIECE_BYTES])
    take(made, frames.piece(1, 1) + whole[PIECE_BYTES:])
    take(made, begin(1, number=2))
    take(made, frames.message(2, 3, 1) + b"?xy")
    take(made, frames.bare(Kind.HALF_CLOSED, 2))
    async with asyncio.timeout(20):
        while Kind.ENDED not in sent.kinds:
            await asyncio.sleep(0)
    assert seen == [
        (long, "found", cost_of(whole)),
        (b"xy", "found", cost_of(b"?xy")),
    ]
    await made.close()


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
