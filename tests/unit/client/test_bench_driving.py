"""Who is asked when, on a clock that moves only when everybody waits."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine
from typing import TypeVar

import grpc

from trivet_client.bench.driving import UNBOUNDED, call_by_call, on_one_stream
from trivet_client.bench.schedule import ClosedLoop, OpenLoop, Span
from trivet_client.bench.summary import Outcome, Sample, summary
from trivet_client.errors import error_of

S = 1_000_000_000
MS = 1_000_000
Result = TypeVar("Result")


class ManualClock:
    """Jumps to the next moment anybody sleeps for, once nobody can go on without."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, due_ns: int) -> None:
        if due_ns <= self._now_ns:
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due_ns, next(self._order), future))
        await future

    async def run(self, work: Coroutine[object, object, Result]) -> Result:
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(20):
                await asyncio.sleep(0)
            if self._sleepers and not task.done():
                self._now_ns, _, future = heapq.heappop(self._sleepers)
                future.set_result(None)
        return task.result()


class OneAtATime:
    """A server that needs 1 ms per request and stands still from second 2 to second 3."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._free_ns = 0
        self.most_waiting = 0
        self._waiting = 0

    async def ask(self, text: str) -> Outcome:
        self._waiting += 1
        self.most_waiting = max(self.most_waiting, self._waiting)
        begin_ns = max(self._free_ns, self._clock.now_ns())
        if 2 * S <= begin_ns < 3 * S:
            begin_ns = 3 * S
        self._free_ns = begin_ns + MS
        await self._clock.sleep_until(self._free_ns)
        self._waiting -= 1
        return Outcome(texts=1)

    async def stream(
        self, items: AsyncIterable[str], in_flight: int
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """Answers in order, and takes the next item only when it is free."""
        index = 0
        async for item in items:
            yield index, await self.ask(item)
            index += 1


TEXTS = ("a", "b")
SPAN = Span(start_ns=0, counted_ns=1 * S, end_ns=4 * S)


async def closed(concurrency: int, span: Span) -> tuple[list[Sample], OneAtATime]:
    clock = ManualClock()
    server = OneAtATime(clock)
    pace = ClosedLoop(concurrency)
    inputs = itertools.cycle(TEXTS)
    return await clock.run(call_by_call(server.ask, inputs, pace, span, 0, clock)), server


async def opened(rate: float) -> list[Sample]:
    clock = ManualClock()
    server = OneAtATime(clock)
    inputs = itertools.cycle(TEXTS)
    return await clock.run(call_by_call(server.ask, inputs, OpenLoop(rate), SPAN, 1, clock))


async def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    samples, server = await closed(3, SPAN)
    assert server.most_waiting == 3
    told = summary(samples, SPAN.counted_ns, SPAN.end_ns)
    assert told.latency
    assert 1990 <= told.answered <= 2010  # 1,000 a second, of 3 s less the one it stood still
    assert told.latency.p50_ms == 3


async def test_a_closed_loop_of_so_many_requests_counts_those_after_the_warm_up() -> None:
    span = Span(start_ns=0, counted_ns=1 * S, requests=50)
    samples, _ = await closed(4, span)
    assert sum(sample.due_ns >= span.counted_ns for sample in samples) == 50
    assert sum(sample.due_ns < span.counted_ns for sample in samples) > 900


async def test_a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one() -> None:
    """Coordinated omission: the closed loop's one caller was held up, and asked nothing."""
    samples, _ = await closed(1, SPAN)
    hidden = summary(samples, SPAN.counted_ns, SPAN.end_ns).latency
    shown = summary(await opened(300), SPAN.counted_ns, SPAN.end_ns).latency
    assert hidden
    assert shown
    assert hidden.p99_ms == 1
    assert shown.p99_ms > 900
    assert shown.p90_ms > 500  # about a third of the requests came while the server stood still
    assert shown.p50_ms < 100


async def test_an_open_loop_sends_whether_or_not_the_server_answers() -> None:
    samples = await opened(300)
    late = [sample.sent_ns - sample.due_ns for sample in samples]
    assert max(late) == 0
    assert 0.9 * 1200 < len(samples) < 1.1 * 1200


async def test_a_stream_counts_from_when_requests_were_due_even_if_it_takes_them_later() -> None:
    clock = ManualClock()
    server = OneAtATime(clock)
    run = on_one_stream(server.stream, itertools.cycle(TEXTS), OpenLoop(300), SPAN, 1, clock)
    told = summary(await clock.run(run), SPAN.counted_ns, SPAN.end_ns)
    assert told.latency
    assert told.latency.p99_ms > 900
    assert told.late_p99_ms > 900  # the sending itself was held up, which is told


async def test_a_stream_bounds_what_is_in_flight_in_a_closed_loop_only() -> None:
    bounds = []

    async def stream(
        items: AsyncIterable[str], in_flight: int
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        bounds.append(in_flight)
        index = 0
        async for _ in items:
            await clock.sleep_until(clock.now_ns() + 100 * MS)
            yield index, Outcome(texts=1)
            index += 1

    for pace in (ClosedLoop(8), OpenLoop(10.0)):
        clock = ManualClock()
        await clock.run(on_one_stream(stream, itertools.cycle(TEXTS), pace, SPAN, 0, clock))
    assert bounds == [8, UNBOUNDED]


async def test_what_waited_on_a_stream_that_broke_has_failed() -> None:
    clock = ManualClock()

    async def stream(
        items: AsyncIterable[str], in_flight: int
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        taken = aiter(items)
        for _ in range(3):
            await anext(taken)
        yield 1, Outcome(texts=1)
        raise error_of(grpc.StatusCode.UNAVAILABLE, "gone")

    span = Span(start_ns=0, counted_ns=0, end_ns=S)
    samples = await clock.run(
        on_one_stream(stream, itertools.cycle(TEXTS), ClosedLoop(3), span, 0, clock)
    )
    told = summary(samples, 0, S)
    assert (told.answered, told.errors) == (1, {"UNAVAILABLE": 2})
