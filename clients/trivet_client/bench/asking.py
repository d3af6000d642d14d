"""What is asked of the server, and how an answer becomes an outcome."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trivet_client.aio_client import AsyncClient
from trivet_client.bench.driving import SystemClock, call_by_call, on_one_stream
from trivet_client.bench.schedule import Pace, Span
from trivet_client.bench.summary import Outcome, Sample
from trivet_client.errors import TrivetError
from trivet_client.security import Login
from trivet_client.values import Cost, Embedding, Failure, FilledText, InferRequest, InferResult

Texts = tuple[str, ...]  # of one request
Tensors = Mapping[str, np.ndarray]
Input = Texts | Tensors
Inputs = Sequence[Input]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask for what."""

    address: str
    task: str  # "embed", "fill_mask" or "infer"
    model: str
    version: int | None = None
    stream: bool = False
    timeout_s: float = 60.0
    login: Login = field(default_factory=Login)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One load for one client process."""

    target: Target
    inputs: Inputs  # asked in turn, again and again
    pace: Pace
    span: Span
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one client process saw. busy: share of a core its event loop used in the window."""

    samples: list[Sample]
    busy: float


def connected(target: Target) -> AsyncClient:
    """A client of the server that is loaded."""
    return AsyncClient(
        target.address,
        timeout_s=target.timeout_s,
        tls=target.login.tls,
        token=target.login.token,
    )


async def recorded(job: Job) -> Recorded:
    """Run one load to its end."""
    clock = SystemClock()
    inputs = itertools.cycle(job.inputs)
    first = asyncio.create_task(_busy_at(job.span.counted_ns, clock))
    last = asyncio.create_task(_busy_at(job.span.end_ns, clock)) if job.span.end_ns else None
    async with connected(job.target) as client:
        asker = Asker(client, job.target)
        if job.target.stream:
            samples = await on_one_stream(asker.stream, inputs, job.pace, job.span, job.seed, clock)
        else:
            samples = await call_by_call(asker.ask, inputs, job.pace, job.span, job.seed, clock)
        end = await last if last else _busy_now()
    begin = await first
    return Recorded(samples=samples, busy=(end[0] - begin[0]) / max(end[1] - begin[1], 1e-9))


class Asker:
    """Asks one request at a time, or many on one stream; failures become outcomes."""

    def __init__(self, client: AsyncClient, target: Target) -> None:
        self._client = client
        self._target = target

    async def ask(self, item: Input) -> Outcome:
        """One unary call."""
        try:
            return await self.answer(item)
        except TrivetError as error:
            return Outcome(status=error.code.name)

    async def stream(
        self, items: AsyncIterable[Input], in_flight: int
    ) -> AsyncGenerator[tuple[int, Outcome], None]:
        """Raises TrivetError if the stream itself breaks."""
        async for index, answer in self._open(items, in_flight):
            if outcome := _outcome(answer):
                yield index, outcome

    async def answer(self, item: Input) -> Outcome:
        """One unary call. Raises TrivetError if it fails."""
        client, model, version = self._client, self._target.model, self._target.version
        if isinstance(item, Mapping):
            await client.infer(model, item, version=version)
            return Outcome(texts=rows(item))
        if self._target.task == "embed":
            costs = (await client.embed(item, model=model, version=version)).costs
        else:
            filled = await client.fill_mask(item, model=model, version=version)
            costs = tuple(text.cost for text in filled)
        return _answered(costs)

    def _open(
        self, items: AsyncIterable[Input], in_flight: int
    ) -> AsyncGenerator[tuple[int, Embedding | FilledText | InferResult | Failure], None]:
        client, model, version = self._client, self._target.model, self._target.version
        match self._target.task:
            case "embed":
                return client.embed_stream(
                    _first_texts(items), model=model, version=version, in_flight=in_flight
                )
            case "fill_mask":
                return client.fill_mask_stream(
                    _first_texts(items), model=model, version=version, in_flight=in_flight
                )
            case _:
                requests = self._requests(items)
                return client.infer_stream(requests, in_flight=in_flight)

    async def _requests(self, items: AsyncIterable[Input]) -> AsyncIterator[InferRequest]:
        async for item in items:
            assert isinstance(item, Mapping)
            yield InferRequest(model=self._target.model, inputs=item, version=self._target.version)


def rows(inputs: Tensors) -> int:
    """How many rows a request has: the longest first dimension, at least 1."""
    return max((array.shape[0] for array in inputs.values() if array.ndim), default=1) or 1


def _outcome(answer: Embedding | FilledText | InferResult | Failure) -> Outcome | None:
    """None for an answer that others follow."""
    match answer:
        case Failure(code=code):
            return Outcome(status=code.name)
        case InferResult(final=False):
            return None
        case InferResult(outputs=outputs):
            return Outcome(texts=rows(outputs))
        case Embedding(cost=cost) | FilledText(cost=cost):
            return _answered([cost])


def _answered(costs: Sequence[Cost]) -> Outcome:
    return Outcome(texts=len(costs), tokens=sum(cost.tokens for cost in costs))


async def _first_texts(items: AsyncIterable[Input]) -> AsyncIterator[str]:
    async for item in items:
        assert isinstance(item, tuple)
        yield item[0]


async def _busy_at(due_ns: int, clock: SystemClock) -> tuple[float, float]:
    await clock.sleep_until(due_ns)
    return _busy_now()


def _busy_now() -> tuple[float, float]:
    """CPU seconds of this thread, which runs the loop, and seconds on the wall."""
    return time.thread_time(), time.monotonic()
