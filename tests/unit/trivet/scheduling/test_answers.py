"""Answers between an instance's thread and the loop: order, bound, end, and leave-taking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import numpy as np
import pytest

from trivet.backend.contract import Answer
from trivet.clock import SystemClock
from trivet.errors import CallerLeft, EngineFailed
from trivet.scheduling.answers import UNREAD, AnswerBuffer


def answer(number: int) -> Answer:
    return Answer({"Y": np.array([number])})


class Sending:
    """A thread that sends as many answers as it is told, and how far it got."""

    def __init__(self, answers: AnswerBuffer, count: int) -> None:
        self.sent = 0
        self._answers, self._count = answers, count
        self.done = asyncio.create_task(asyncio.to_thread(self._run))

    def _run(self) -> None:
        for number in range(self._count):
            self._answers.send(answer(number))
            self.sent += 1


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until it holds; for what a thread does, which no event tells of."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def blocked(answers: AnswerBuffer) -> None:
    """Wait until the sender waits for its reader."""
    async with asyncio.timeout(10):
        await answers.wait_full()
    await until(lambda: answers.blocked_ns > 0)


async def test_answers_come_in_order_and_then_the_end() -> None:
    answers = AnswerBuffer(SystemClock())
    sending = Sending(answers, 100)
    sending.done.add_done_callback(lambda _: answers.close())
    numbers = [sent.answer.outputs["Y"][0] async for sent in answers.read()]
    assert numbers == list(range(100))


async def test_a_sender_waits_for_a_reader_who_does_not_read() -> None:
    answers = AnswerBuffer(SystemClock())
    sending = Sending(answers, 3 * UNREAD)
    await blocked(answers)
    assert sending.sent == UNREAD
    async with aclosing(answers.read()) as reading:
        for _ in range(5):
            await anext(reading)
        await blocked(answers)
        assert sending.sent == UNREAD + 5
        for _ in range(3 * UNREAD - 5):
            await anext(reading)
        await sending.done
    assert sending.sent == 3 * UNREAD


async def test_closing_frees_every_thread_that_waits() -> None:
    answers = AnswerBuffer(SystemClock())
    first, second = Sending(answers, 2 * UNREAD), Sending(answers, 2 * UNREAD)
    await blocked(answers)
    assert not answers.is_cancelled()
    answers.close()
    assert answers.is_cancelled()
    async with asyncio.timeout(10):
        told = await asyncio.gather(first.done, second.done, return_exceptions=True)
    assert [type(error) for error in told] == [CallerLeft, CallerLeft]


async def test_an_error_comes_after_the_answers_before_it_and_the_first_counts() -> None:
    answers = AnswerBuffer(SystemClock())
    await Sending(answers, 2).done
    answers.close(EngineFailed("first"))
    answers.close(EngineFailed("second"))
    reading = answers.read()
    assert [(await anext(reading)).answer.outputs["Y"][0] for _ in range(2)] == [0, 1]
    with pytest.raises(EngineFailed, match="first"):
        await anext(reading)


async def test_what_is_no_answer_or_comes_after_the_final_one_is_refused() -> None:
    answers = AnswerBuffer(SystemClock())
    with pytest.raises(TypeError, match="sent a dict for an answer"):
        answers.send({"Y": 1})  # type: ignore[arg-type]
    answers.send(answer(0), final=True)
    assert answers.final_was_sent
    with pytest.raises(RuntimeError, match="after the final one"):
        answers.send(answer(1))
