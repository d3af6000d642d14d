"""One load after another: what is run, what is measured around it, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trivet_client.bench.asking import Inputs, Job, Recorded, Target
from trivet_client.bench.schedule import OpenLoop, Pace, Span, share
from trivet_client.bench.server_side import Batches, Step, batches, cpu_seconds
from trivet_client.bench.summary import Sample, Summary, grown, summary
from trivet_client.bench.workers import Workers
from trivet_client.client import Client
from trivet_client.errors import TrivetError

_LEAD_S = 0.1  # until all client processes have their load
BUSY = 0.85  # of a core; from there on the client may be what limits

Usage = tuple[float | None, Batches | None]  # CPU seconds and batches so far; None: not known


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
    client_busy: float  # share of a core, of the busiest client process
    engine: Engine | None

    @property
    def engine_share(self) -> float | None:
        """Tokens per second, relative to the bare engine's."""
        if self.engine is None or self.summary.tokens_per_s is None:
            return None
        return self.summary.tokens_per_s / self.engine.tokens_per_s

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
        cpu_s, formed = usage
        return Level(
            pace=pace,
            summary=told,
            server_cpu_ms=None if cpu_s is None or not ended else cpu_s * 1e3 / ended,
            batches=formed,
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
        try:
            formed = None if self.behind is None else batches(self.client, list(self.behind))
        except TrivetError:  # the run goes on, and its report says that the server does not tell
            formed = None
        return cpu_s, formed

    def _engine(self) -> Engine | None:
        if self.baseline is None:
            return None
        return Engine(
            tokens_per_s=self.baseline.tokens_per_s(self.texts),
            alone_p50_ms=self.baseline.alone_ms(self.texts[:64]),
        )


def _used(before: Usage, after: Usage) -> Usage:
    cpu_s = None if before[0] is None or after[0] is None else after[0] - before[0]
    if before[1] is None or after[1] is None:
        return cpu_s, None
    return cpu_s, {model: grown(before[1].get(model, {}), new) for model, new in after[1].items()}


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
