"""Many answers at once: order, bounds, failures, cancellation, leave-taking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

import pytest

from trivet.errors import InvalidInput, Unavailable
from trivet.frontend.concurrency import answer_stream
from trivet.frontend.window import ANSWER_BYTES, UNKNOWN
from trivet.scheduling.many import answer_all


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


async def test_large_answers_that_nobody_reads_hold_back_what_is_read() -> None:
    large = bytes(ANSWER_BYTES // 4)
    source = Source(1000)

    async def answered(message: bytes) -> bytes:
        return large

    answers = answer_stream(aiter(source), answered, in_order=True, draining=asyncio.Event())
    await anext(answers)
    await settle()
    assert source.read == UNKNOWN  # before the first answer told its size
    for _ in range(UNKNOWN):
        await anext(answers)
    await settle()
    assert source.read <= UNKNOWN + 4
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


class Several:
    """Answers: to a digit one, to a letter three, one by one as a test lets them go."""

    def __init__(self) -> None:
        self.gates = {name: asyncio.Semaphore(0) for name in (b"1", b"2", b"a", b"b")}
        self.closed: list[bytes] = []
        self.given = 0

    def __call__(self, message: bytes) -> Coroutine[Any, Any, bytes] | AsyncGenerator[bytes, None]:
        return self._one(message) if message.isdigit() else self._three(message)

    def open(self, name: bytes, times: int = 1) -> None:
        for _ in range(times):
            self.gates[name].release()

    async def _one(self, message: bytes) -> bytes:
        await self.gates[message].acquire()
        return message

    async def _three(self, message: bytes) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(3):
                await self.gates[message].acquire()
                self.given += 1
                yield message + str(number).encode()
        finally:
            self.closed.append(message)


async def messages(*each: bytes) -> AsyncIterator[bytes]:
    for message in each:
        yield message


async def test_answers_of_generators_mix_and_pass_single_ones_that_keep_their_order() -> None:
    several = Several()
    answers = answer_stream(
        messages(b"1", b"a", b"2", b"b"), several, in_order=True, draining=asyncio.Event()
    )
    several.open(b"2")  # has to wait for 1
    several.open(b"a", times=2)
    assert [await anext(answers), await anext(answers)] == [b"a0", b"a1"]
    several.open(b"b")
    assert await anext(answers) == b"b0"
    several.open(b"1")
    assert [await anext(answers), await anext(answers)] == [b"1", b"2"]
    several.open(b"a")
    several.open(b"b", times=2)
    assert sorted([answer async for answer in answers]) == [b"a2", b"b1", b"b2"]
    assert sorted(several.closed) == [b"a", b"b"]


async def test_a_generator_may_answer_nothing() -> None:
    async def silent(message: bytes) -> AsyncGenerator[bytes, None]:
        for answer in ():
            yield answer

    answers = answer_stream(
        messages(b"a", b"b"), silent, in_order=True, draining=asyncio.Event(), limit=1
    )
    assert [answer async for answer in answers] == []


async def test_a_generator_waits_for_a_caller_who_does_not_read() -> None:
    given = 0

    async def endless(message: bytes) -> AsyncGenerator[bytes, None]:
        nonlocal given
        while True:
            given += 1
            yield message

    answers = answer_stream(messages(b"a"), endless, in_order=True, draining=asyncio.Event())
    for read in range(1, 5):
        await anext(answers)
        await settle()
        assert read < given < read + 20
    await answers.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_the_stream_closes_its_generators() -> None:
    several = Several()
    answers = answer_stream(messages(b"a", b"b"), several, in_order=True, draining=asyncio.Event())
    several.open(b"a")
    assert await anext(answers) == b"a0"
    await answers.aclose()
    assert sorted(several.closed) == [b"a", b"b"]


async def test_an_exception_of_a_generator_ends_the_stream_after_its_answers() -> None:
    async def fails(message: bytes) -> AsyncGenerator[bytes, None]:
        yield message
        raise InvalidInput("no")

    answers = answer_stream(messages(b"a"), fails, in_order=True, draining=asyncio.Event())
    assert await anext(answers) == b"a"
    with pytest.raises(InvalidInput):
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


async def test_what_is_on_its_way_when_draining_begins_is_answered() -> None:
    draining, sent = asyncio.Event(), asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        yield b"0"
        await sent.wait()
        yield b"1"
        await asyncio.Future()

    answers = answer_stream(late(), at_once, in_order=True, draining=draining)
    assert await anext(answers) == b"0"
    draining.set()
    await settle()
    sent.set()
    assert await anext(answers) == b"1"
    with pytest.raises(Unavailable, match="draining"):
        await anext(answers)


async def test_a_caller_who_is_never_quiet_is_let_go_all_the_same() -> None:
    draining = asyncio.Event()
    draining.set()

    async def tireless() -> AsyncIterator[bytes]:
        while True:
            yield b"0"
            await asyncio.sleep(0)

    answers = answer_stream(tireless(), at_once, in_order=True, draining=draining)
    got = 0
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable, match="draining") as told:
            async for answer in answers:
                assert answer == b"0"
                got += 1
    assert got
    assert f"the first {got} of this stream's messages" in str(told.value)
