"""Many answers at once: order, bounds, failures, cancellation, leave-taking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from trivet.errors import InvalidInput, Unavailable
from trivet.frontend.concurrency import answer_all, answer_stream


class Source:
    """Messages "0", "1", ... that counts how many were read."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self._count = count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(self._count):
            self.read += 1
            yield str(number).encode()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(200):
        await asyncio.sleep(0)


async def at_once(message: bytes) -> bytes:
    return message


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("count", [0, 1, 3, 100])
async def test_every_message_is_answered_once(in_order: bool, count: int) -> None:
    answers = answer_stream(
        aiter(Source(count)), at_once, in_order=in_order, draining=asyncio.Event(), limit=4
    )
    got = [int(answer) async for answer in answers]
    assert sorted(got) == list(range(count))
    assert got == sorted(got) or not in_order


async def test_answers_leave_as_they_are_ready_where_order_does_not_matter() -> None:
    gates = {b"0": asyncio.Event(), b"1": asyncio.Event(), b"2": asyncio.Event()}

    async def gated(message: bytes) -> bytes:
        await gates[message].wait()
        return message

    answers = answer_stream(
        aiter(Source(3)), gated, in_order=False, draining=asyncio.Event(), limit=4
    )
    got = []
    for message in (b"2", b"0", b"1"):
        gates[message].set()
        got.append(await anext(answers))
    assert got == [b"2", b"0", b"1"]
    await answers.aclose()


@pytest.mark.parametrize("in_order", [True, False])
async def test_no_more_is_read_than_may_be_in_flight(in_order: bool) -> None:
    source, gate = Source(50), asyncio.Event()

    async def gated(message: bytes) -> bytes:
        await gate.wait()
        return message

    answers = answer_stream(
        aiter(source), gated, in_order=in_order, draining=asyncio.Event(), limit=4
    )
    first = asyncio.ensure_future(anext(answers))
    await settle()
    assert source.read == 4
    gate.set()
    await first
    await settle()
    assert source.read == 4  # the answer is being written: a caller who does not read holds it up
    await anext(answers)
    await settle()
    assert source.read == 5
    await answers.aclose()


async def test_closing_the_stream_cancels_what_is_in_flight() -> None:
    cancelled = []

    async def wait_for_the_end(message: bytes) -> bytes:
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            cancelled.append(message)
            raise

    answers = answer_stream(
        aiter(Source(3)), wait_for_the_end, in_order=True, draining=asyncio.Event()
    )
    reading = asyncio.ensure_future(anext(answers))
    await settle()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert sorted(cancelled) == [b"0", b"1", b"2"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_exception_ends_the_stream_after_the_answers_before_it() -> None:
    async def second_fails(message: bytes) -> bytes:
        if message == b"1":
            raise InvalidInput("no")
        return message

    answers = answer_stream(aiter(Source(3)), second_fails, in_order=True, draining=asyncio.Event())
    assert await anext(answers) == b"0"
    with pytest.raises(InvalidInput):
        await anext(answers)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_source_that_fails_fails_the_stream() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"0"
        raise ConnectionError("gone")

    answers = answer_stream(broken(), at_once, in_order=True, draining=asyncio.Event())
    assert await anext(answers) == b"0"
    with pytest.raises(ConnectionError):
        await anext(answers)


async def test_draining_answers_what_was_read_and_reads_no_more() -> None:
    draining, gate = asyncio.Event(), asyncio.Event()

    async def never_ending() -> AsyncIterator[bytes]:
        yield b"0"
        yield b"1"
        await asyncio.Future()

    async def gated(message: bytes) -> bytes:
        await gate.wait()
        return message

    answers = answer_stream(never_ending(), gated, in_order=True, draining=draining)
    first = asyncio.ensure_future(anext(answers))
    await settle()
    draining.set()
    await settle()
    gate.set()
    assert [await first, await anext(answers)] == [b"0", b"1"]
    with pytest.raises(Unavailable, match="draining"):
        await anext(answers)


async def test_all_items_are_answered_by_at_most_so_many_at_once() -> None:
    in_flight = most = 0
    answered = {}

    async def answer(index: int, item: str) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0)
        answered[index] = item
        in_flight -= 1

    items = [str(number) for number in range(50)]
    await answer_all(items, answer, limit=7)
    assert answered == dict(enumerate(items))
    assert most == 7


@pytest.mark.parametrize("count", [1, 20])
async def test_of_several_failures_the_first_by_index_is_told(count: int) -> None:
    gate = asyncio.Event()

    async def answer(index: int, item: int) -> None:
        if index == count - 1:
            gate.set()
        await gate.wait()
        raise InvalidInput(f"item {index}")

    with pytest.raises(InvalidInput, match=r"^item 0$"):
        await answer_all(range(count), answer)


async def test_an_item_cancelled_from_inside_is_no_answer() -> None:
    async def answer(index: int, item: int) -> None:
        if index == 1:
            raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="of 3 were cancelled from inside"):
        await answer_all(range(3), answer)
