"""What a run's samples add up to. Pure.

Latency counts from when a request was due, not from when it was sent: a server that stalls keeps
the requests behind it waiting, and a tester that only starts its watch when it gets round to them
would hide just that ("coordinated omission").
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OK = "OK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one request ended. tokens: None where the answer does not tell."""

    status: str = OK  # else a gRPC status by name
    texts: int = 0  # texts, or rows
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request from when it was due to its end, in nanoseconds of one monotonic clock."""

    due_ns: int
    sent_ns: int
    done_ns: int
    outcome: Outcome

    @property
    def latency_ns(self) -> int:
        return self.done_ns - self.due_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run. `answered` and `errors` are the requests due within the window, whenever they ended;
    rates are of those that ended well within it."""

    seconds: float  # of the window
    answered: int
    errors: Mapping[str, int]  # by gRPC status
    requests_per_s: float
    texts_per_s: float
    tokens_per_s: float | None  # None: the answers do not tell
    latency: Latency | None  # of the answered, from when they were due; None: none was
    failure: Latency | None  # of the others, from when they were sent; None: none failed
    late_p99_ms: float  # how long after it was due the client sent a request

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values do not exceed.

    ordered: ascending, at least one. No interpolation: a latency that is told did happen.
    """
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def summary(samples: Sequence[Sample], counted_ns: int, end_ns: int | None) -> Summary:
    """Sum up what was due from `counted_ns` on.

    end_ns: end of the window; None where requests were counted, not seconds: it ends with the last.
    """
    due = [sample for sample in samples if sample.due_ns >= counted_ns]
    last_ns = end_ns if end_ns is not None else max((s.done_ns for s in due), default=counted_ns)
    good = [sample for sample in due if sample.outcome.status == OK]
    # Those due before the window that end within it make up for those due within that end after.
    ended = [
        sample.outcome
        for sample in (samples if end_ns is not None else due)
        if sample.outcome.status == OK and counted_ns <= sample.done_ns <= last_ns
    ]
    seconds = max(last_ns - counted_ns, 1) / 1e9
    tokens = [outcome.tokens for outcome in ended if outcome.tokens is not None]
    late = sorted(sample.sent_ns - sample.due_ns for sample in due)
    return Summary(
        seconds=seconds,
        answered=len(good),
        errors=dict(Counter(s.outcome.status for s in due if s.outcome.status != OK)),
        requests_per_s=len(ended) / seconds,
        texts_per_s=sum(outcome.texts for outcome in ended) / seconds,
        tokens_per_s=sum(tokens) / seconds if tokens else None,
        latency=_latency(sorted(sample.latency_ns for sample in good)),
        failure=_latency(
            sorted(s.done_ns - s.sent_ns for s in due if s.outcome.status != OK),
        ),
        late_p99_ms=percentile(late, 99) / 1e6 if late else 0.0,
    )


def _latency(ordered_ns: Sequence[int]) -> Latency | None:
    if not ordered_ns:
        return None
    return Latency(
        p50_ms=percentile(ordered_ns, 50) / 1e6,
        p90_ms=percentile(ordered_ns, 90) / 1e6,
        p99_ms=percentile(ordered_ns, 99) / 1e6,
        max_ms=ordered_ns[-1] / 1e6,
    )


def grown(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """How many batches of each size were added, by size; sizes of which none was are left out."""
    added = {size: count - before.get(size, 0) for size, count in sorted(after.items())}
    return {size: count for size, count in added.items() if count > 0}


def binned(batches: Mapping[int, int]) -> dict[str, int]:
    """Counts by batch size as a few bins that double: 1, 2, 3-4, 5-8, 9-16, ..."""
    bins: dict[str, int] = {}
    for size, count in sorted(batches.items()):
        top = 1 << (size - 1).bit_length()
        name = str(size) if top <= 2 else f"{top // 2 + 1}-{top}"
        bins[name] = bins.get(name, 0) + count
    return bins


def rows_per_batch(batches: Mapping[int, int]) -> float | None:
    """The mean; None where no batch formed."""
    count = sum(batches.values())
    return sum(size * number for size, number in batches.items()) / count if count else None
