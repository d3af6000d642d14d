"""When a process counts as hanging, on a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from trivet.testing.clock import ManualClock, settle
from trivet.transport.processes.heartbeat import EVERY_S, MOST_MISSED, Heartbeat

EVERY_US = EVERY_S * 1_000_000


class Watched:
    """A heartbeat, how often it has asked, and whether it has given up."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asked = 0
        self.heartbeat = Heartbeat(self.clock, self._ask)
        self.stops = asyncio.create_task(self.heartbeat.stops())

    def _ask(self) -> None:
        self.asked += 1


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    await settle()
    yield made
    made.stops.cancel()


async def test_one_that_answers_goes_on(watched: Watched) -> None:
    for _ in range(5 * MOST_MISSED):
        watched.heartbeat.answered()
        await watched.clock.advance(us=EVERY_US)
    assert not watched.stops.done()
    assert watched.asked == 5 * MOST_MISSED + 1


async def test_one_that_never_answers_is_asked_once_and_given_up(watched: Watched) -> None:
    for _ in range(MOST_MISSED - 1):
        await watched.clock.advance(us=EVERY_US)
    assert not watched.stops.done()
    await watched.clock.advance(us=EVERY_US)
    assert watched.stops.done()
    assert watched.asked == 1


async def test_a_late_answer_counts(watched: Watched) -> None:
    for _ in range(3):
        for _ in range(MOST_MISSED - 1):
            await watched.clock.advance(us=EVERY_US)
        watched.heartbeat.answered()
        await watched.clock.advance(us=EVERY_US)
    assert not watched.stops.done()


async def test_when_the_owner_itself_stood_still_nobody_is_to_blame(watched: Watched) -> None:
    for _ in range(2 * MOST_MISSED):
        await watched.clock.advance(us=2 * EVERY_US)
    assert not watched.stops.done()
