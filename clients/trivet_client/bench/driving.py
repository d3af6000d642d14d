"""Sends requests when they are due, and notes when they ended. Knows no gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)
from contextlib import aclosing
from typing import Protocol, TypeVar

from trivet_client.bench.schedule import Admission, ClosedLoop, OpenLoop, Pace, Span, poisson_ns
from trivet_client.bench.summary import Outcome, Sample
from trivet_client.errors import TrivetError

Input = TypeVar("Input")
Ask = Callable[[Input], Awaitable[Outcome]]
OpenStream = Callable[[AsyncIterable[Input], int], AsyncGenerator[tuple[int, Outcome], None]]

# An open loop may not hold requests back: that would hide their waiting.
UNBOUNDED = 1_000_000


class Clock(Protocol):
    """The time, handed in, so that tests need not wait."""

    def now_ns(self) -> int: ...

    async def sleep_until(self, due_ns: int) -> None: ...


class SystemClock:
    """Monotonic, and the same in all processes of the machine."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep_until(self, due_ns: int) -> None:
        await asyncio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)


async def call_by_call(
    ask: Ask[Input], inputs: Iterator[Input], pace: Pace, span: Span, seed: int, clock: Clock
) -> list[Sample]:
    """Ask in unary calls. `ask` tells failures as outcomes. Returns when all asked have ended."""
    samples: list[Sample] = []
    admission = Admission(span)

    async def sampled(due_ns: int) -> None:
        sent_ns = clock.now_ns()
        outcome = await ask(next(inputs))
        samples.append(
            Sample(due_ns=due_ns, sent_ns=sent_ns, done_ns=clock.now_ns(), outcome=outcome)
        )

    async def caller() -> None:
        while admission.admits(due_ns := clock.now_ns()):
            await sampled(due_ns)

    await clock.sleep_until(span.start_ns)
    async with asyncio.TaskGroup() as tasks:
        match pace:
            case ClosedLoop(concurrency):
                for _ in range(concurrency):
                    tasks.create_task(caller())
            case OpenLoop(rate):
                async for due_ns in _arrivals(rate, span, admission, seed, clock):
                    tasks.create_task(sampled(due_ns))
    return samples


async def on_one_stream(
    open_stream: OpenStream[Input],
    inputs: Iterator[Input],
    pace: Pace,
    span: Span,
    seed: int,
    clock: Clock,
) -> list[Sample]:
    """Ask on one bidirectional stream. If it breaks the run ends, and what waited has failed."""
    times: dict[int, tuple[int, int]] = {}  # due and sent, of the requests in flight
    samples: list[Sample] = []
    admission = Admission(span)

    async def due() -> AsyncIterator[int]:
        match pace:
            case ClosedLoop():  # the stream takes an item when an answer has made room for it
                while admission.admits(now_ns := clock.now_ns()):
                    yield now_ns
            case OpenLoop(rate):
                async for due_ns in _arrivals(rate, span, admission, seed, clock):
                    yield due_ns

    async def items() -> AsyncIterator[Input]:
        index = 0
        async for due_ns in due():
            times[index] = (due_ns, clock.now_ns())
            index += 1
            yield next(inputs)

    def ended(index: int, outcome: Outcome) -> None:
        due_ns, sent_ns = times.pop(index)
        samples.append(
            Sample(due_ns=due_ns, sent_ns=sent_ns, done_ns=clock.now_ns(), outcome=outcome)
        )

    await clock.sleep_until(span.start_ns)
    in_flight = pace.concurrency if isinstance(pace, ClosedLoop) else UNBOUNDED
    try:
        async with aclosing(open_stream(items(), in_flight)) as answers:
            async for index, outcome in answers:
                ended(index, outcome)
    except TrivetError as error:
        now_ns = clock.now_ns()
        times = times or {0: (now_ns, now_ns)}  # a break is an error even if nobody waited
        for index in list(times):
            ended(index, Outcome(status=error.code.name))
    return samples


async def _arrivals(
    rate: float, span: Span, admission: Admission, seed: int, clock: Clock
) -> AsyncIterator[int]:
    """When each request was due, as soon as it is."""
    for due_ns in poisson_ns(rate, span.start_ns, seed):
        if not admission.admits(due_ns):
            return
        if due_ns > clock.now_ns():
            await clock.sleep_until(due_ns)
        yield due_ns
