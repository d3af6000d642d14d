"""Counters -> what a page shows of the time between two looks. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from trivet.telemetry.histogram import NS_BOUNDS

# In the order in which a request goes through them; `request` is the whole.
STAGES = ("request", "queue", "input", "infer", "output")

_QUANTILES = (0.5, 0.95)
_NO_VALUES = (0,) * (len(NS_BOUNDS) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What has been counted so far, of a version or of several.

    answered, failed: requests. rows: of all batches. busy_ns: of all instances.
    stages: by STAGES, how many values there were up to each of NS_BOUNDS, and over all.
    """

    answered: int = 0
    failed: int = 0
    batches: int = 0
    rows: int = 0
    tokens: int = 0
    padding: int = 0
    busy_ns: int = 0
    stages: Mapping[str, Sequence[int]]

    def since(self, before: Counts) -> Counts:
        """What was added."""
        if self is before:
            return NOTHING
        return Counts(
            answered=self.answered - before.answered,
            failed=self.failed - before.failed,
            batches=self.batches - before.batches,
            rows=self.rows - before.rows,
            tokens=self.tokens - before.tokens,
            padding=self.padding - before.padding,
            busy_ns=self.busy_ns - before.busy_ns,
            stages={
                stage: [now - then for now, then in zip(counts, before.stages[stage], strict=True)]
                for stage, counts in self.stages.items()
            },
        )

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            answered=self.answered + other.answered,
            failed=self.failed + other.failed,
            batches=self.batches + other.batches,
            rows=self.rows + other.rows,
            tokens=self.tokens + other.tokens,
            padding=self.padding + other.padding,
            busy_ns=self.busy_ns + other.busy_ns,
            stages={
                stage: [one + more for one, more in zip(counts, other.stages[stage], strict=True)]
                for stage, counts in self.stages.items()
            },
        )

    @property
    def is_quiet(self) -> bool:
        """Whether nothing happened."""
        return not (self.answered or self.failed or self.batches or self.busy_ns)


NOTHING = Counts(stages=dict.fromkeys(STAGES, _NO_VALUES))


def figures(counts: Counts, seconds: float, waiting: int, instances: int) -> dict[str, Any]:
    """What was counted in so many seconds, as the page shows it.

    waiting: requests in queues now. None stands for what had no value: no batch, no tokens.
    """
    computed = counts.tokens + counts.padding
    return {
        "requests": _shown(counts.answered / seconds),
        "failures": _shown(counts.failed / seconds),
        "tokens": _shown(counts.tokens / seconds),
        "rows": _shown(counts.rows / counts.batches) if counts.batches else None,
        "padding": _shown(100 * counts.padding / computed) if computed else None,
        "waiting": waiting,
        "busy": _shown(min(1.0, counts.busy_ns / (seconds * 1e9 * instances)))
        if instances
        else None,
        "ms": {stage: _quantiles(counts.stages[stage]) for stage in STAGES},
    }


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The value in nanoseconds that this share of all values does not exceed.

    It is guessed evenly within its bucket, as Prometheus does; what lies over all bounds is told as
    the last one. None: there are no values.
    """
    upto = list(accumulate(counts))
    if not upto[-1]:
        return None
    rank = share * upto[-1]
    place = bisect_left(upto, rank)
    if place == len(NS_BOUNDS):
        return float(NS_BOUNDS[-1])
    lower = NS_BOUNDS[place - 1] if place else 0
    within = (rank - (upto[place] - counts[place])) / counts[place]
    return lower + (NS_BOUNDS[place] - lower) * within


def _quantiles(counts: Sequence[int]) -> list[float] | None:
    """p50 and p95 in milliseconds."""
    found = [quantile(counts, share) for share in _QUANTILES]
    return [_shown(value / 1e6) for value in found if value is not None] or None


def _shown(value: float) -> float:
    return round(value, 3)
