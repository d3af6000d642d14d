"""An event loop that does not come round is told of, once, with the place where it hangs."""

from __future__ import annotations

import asyncio
import logging
import threading

from trivet.clock import SystemClock
from trivet.telemetry.loop_watch import News, Rounds, loop_watched
from trivet.testing.clock import ManualClock

LIMIT_S = 5.0
LOOK_US = 1_000_000


class Bed:
    """A loop of which the test says when it comes round."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.rounds = Rounds(self.clock, LIMIT_S)

    async def looks(self, count: int, *, noted: bool) -> list[News | None]:
        news = []
        for _ in range(count):
            await self.clock.advance(us=LOOK_US)
            if noted:
                self.rounds.note()
            news.append(self.rounds.look())
        return news


async def test_a_loop_that_comes_round_is_nothing_to_tell() -> None:
    assert await Bed().looks(20, noted=True) == [None] * 20


async def test_one_that_does_not_is_told_once_and_again_when_it_does() -> None:
    bed = Bed()
    assert await bed.looks(20, noted=False) == [*[None] * 4, News.BLOCKED, *[None] * 15]
    assert await bed.looks(3, noted=True) == [News.FREE, None, None]
    assert await bed.looks(5, noted=False) == [*[None] * 4, News.BLOCKED]
    assert bed.rounds.silent_s == LIMIT_S


async def test_when_the_whole_process_stood_still_the_loop_is_not_to_blame() -> None:
    bed = Bed()
    await bed.clock.advance(us=60 * LOOK_US)
    assert bed.rounds.look() is None
    assert await bed.looks(4, noted=False) == [None] * 4
    assert await bed.looks(1, noted=False) == [News.BLOCKED]


class Told(logging.Handler):
    """What was logged, and a sign that a name was."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._awaited = name
        self.come = threading.Event()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if record.getMessage() == self._awaited:
            self.come.set()


async def test_the_log_says_where_the_loop_hangs_and_when_it_goes_on() -> None:
    logger = logging.getLogger("trivet.telemetry.loop_watch")
    blocked, free = Told("event_loop_blocked"), Told("event_loop_free")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(blocked)
    logger.addHandler(free)

    def hang_in_the_tokenizer() -> None:
        assert blocked.come.wait(20)

    try:
        with loop_watched(SystemClock(), limit_s=0.05):
            hang_in_the_tokenizer()  # in the loop's own thread
            async with asyncio.timeout(20):
                while not free.come.is_set():
                    await asyncio.sleep(0.005)
    finally:
        logger.removeHandler(blocked)
        logger.removeHandler(free)
        logger.setLevel(level)
    first = blocked.records[0]
    assert "hang_in_the_tokenizer (test_loop_watch.py:" in vars(first)["where"]
    assert not [each for each in threading.enumerate() if each.name == "loop watch"]
