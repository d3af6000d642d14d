"""One load after another: what is run, what is measured around it, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from trivet_client.bench.asking import Inputs, Job, Recorded, Target
from trivet_client.bench.schedule import OpenLoop, Pace, Span, share
from trivet_client.bench.server_side import (
    Batches,
    Costs,
    Step,
    added,
    batches,
    costs,
    cpu_seconds,
    total,
)
from trivet_client.bench.summary import Sample, Summary, grown, summary
from trivet_client.bench.workers import Workers
from trivet_client.client import Client
from trivet_client.errors import TrivetError

T = TypeVar("T")

_LEAD_S = 0.1  # until all client processes have their load
BUSY = 0.85  # of a core; from there on the client may be what limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the server used and did, so far or between two looks at it. None: not known."""

    cpu_s: float | None
    batches: Batches | None
    costs: Costs | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How long each load runs. One of the last two is None."""

    warmup_s: float
    duration_s: float | None
    requests: int | None

    def span(self, now_ns: int) -> Span:
        start_ns = now_ns + int(_LEAD_S * 1e9)
        counted_ns = start_ns + int(self.warmup_s * 1e9)
        return Span(
            start_ns=start_ns,
            counted_ns=counted_ns,
            end_ns=None if self.duration_s is None else counted_ns + int(self.duration_s * 1e9),
            requests=self.requests,
        )


class Baseline(Protocol):
    """What the server is compared with, on the same texts."""

    def tokens_per_s(self, texts: Sequence[str]) -> float: ...

    def alone_ms(self, texts: Sequence[str]) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The bare engine around one load: just before and just after it."""

    tokens_per_s: float
    alone_p50_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What one load gave."""

    pace: Pace
    summary: Summary
    server_cpu_ms: float | None  # per request that ended well; None: no process to look at
    batches: Batches | None  # None: the server does not tell
    costs: Costs | None  # tokens and padding of the models that have any; None: as above
    client_busy: float  # share of a core, of the busiest client process
    engine: Engine | None

    @property
    def engine_share(self) -> float | None:
        """Tokens per second, relative to the bare engine's."""
        if self.engine is None or self.summary.tokens_per_s is None:
            return None
        return self.summary.tokens_per_s / self.engine.tokens_per_s

    @property
    def padding_ratio(self) -> float | None:
        """The share of padding in what all models computed; None: not known, or no tokens."""
        return total(self.costs.values()).padding_ratio if self.costs else None

    @property
    def client_limits(self) -> bool:
        return self.client_busy >= BUSY


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all loads of one command have in common."""

    target: Target
    inputs: Inputs
    extent: Extent
    seed: int
    processes: int
    client: Client
    behind: Sequence[Step] | None  # models whose batches are counted
    server_pid: int | None
    baseline: Baseline | None
    texts: Sequence[str]  # what the baseline embeds: those of `inputs`

    def level(self, workers: Workers, pace: Pace) -> Level:
        """Run one load, between two runs of the baseline if there is one."""
        before = self._engine()
        samples, span, usage, busy = self._loaded(workers, pace)
        after = self._engine()
        told = summary(samples, span.counted_ns, span.end_ns)
        ended = told.requests_per_s * told.seconds
        cpu_s = usage.cpu_s
        return Level(
            pace=pace,
            summary=told,
            server_cpu_ms=None if cpu_s is None or not ended else cpu_s * 1e3 / ended,
            batches=usage.batches,
            costs=usage.costs,
            client_busy=busy,
            engine=_mean(before, after),
        )

    def _loaded(self, workers: Workers, pace: Pace) -> tuple[list[Sample], Span, Usage, float]:
        span = self.extent.span(time.monotonic_ns())
        parts = share(pace, span, self.processes)
        jobs = [self._job(number, *part) for number, part in enumerate(parts)]
        workers.start(jobs)
        _sleep_until(span.counted_ns)
        before = self._usage()
        if span.end_ns is not None:
            _sleep_until(span.end_ns)
            after = self._usage()
            results = workers.results()
        else:
            results = workers.results()
            after = self._usage()
        samples = [sample for result in results for sample in result.samples]
        return samples, span, _used(before, after), _busiest(results)

    def _job(self, number: int, pace: Pace, span: Span) -> Job:
        # Each process begins elsewhere in the inputs, lest all send the same at the same time.
        begin = number * len(self.inputs) // self.processes
        turned = (*self.inputs[begin:], *self.inputs[:begin])
        seed = self.seed + number
        return Job(target=self.target, inputs=turned, pace=pace, span=span, seed=seed)

    def _usage(self) -> Usage:
        cpu_s = None if self.server_pid is None else cpu_seconds(self.server_pid)
        return Usage(cpu_s=cpu_s, batches=self._told(batches), costs=self._told(costs))

    def _told(self, ask: Callable[[Client, Sequence[Step]], T]) -> T | None:
        """None if the server does not tell: the run goes on, and its report says so."""
        try:
            return None if self.behind is None else ask(self.client, self.behind)
        except TrivetError:
            return None

    def _engine(self) -> Engine | None:
        if self.baseline is None:
            return None
        return Engine(
            tokens_per_s=self.baseline.tokens_per_s(self.texts),
            alone_p50_ms=self.baseline.alone_ms(self.texts[:64]),
        )


def _used(before: Usage, after: Usage) -> Usage:
    return Usage(
        cpu_s=_between(before.cpu_s, after.cpu_s, lambda first, then: then - first),
        batches=_between(before.batches, after.batches, _formed),
        costs=_between(before.costs, after.costs, added),
    )


def _between(first: T | None, then: T | None, difference: Callable[[T, T], T]) -> T | None:
    return None if first is None or then is None else difference(first, then)


def _formed(before: Batches, after: Batches) -> Batches:
    return {model: grown(before.get(model, {}), new) for model, new in after.items()}


def _busiest(results: Sequence[Recorded]) -> float:
    return max((result.busy for result in results), default=0.0)


def _mean(before: Engine | None, after: Engine | None) -> Engine | None:
    if before is None or after is None:
        return None
    return Engine(
        tokens_per_s=(before.tokens_per_s + after.tokens_per_s) / 2,
        alone_p50_ms=(before.alone_p50_ms + after.alone_p50_ms) / 2,
    )


def _sleep_until(due_ns: int) -> None:
    time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)


def label(pace: Pace) -> str:
    """The number that was varied."""
    return f"{pace.rate:g}" if isinstance(pace, OpenLoop) else str(pace.concurrency)
