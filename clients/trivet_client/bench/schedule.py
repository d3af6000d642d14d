"""When requests are due: how many at a time or how many a second, from when to when. Pure.

Times are nanoseconds of one monotonic clock, which all processes of the machine share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from trivet_client.errors import invalid


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """So many callers; each asks again when it is answered, so a slow server is asked less."""

    concurrency: int

    def __str__(self) -> str:
        return f"{self.concurrency} at a time"


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests come as from a crowd, whatever the server does: a Poisson process."""

    rate: float  # requests per second

    def __str__(self) -> str:
        return f"{self.rate:g} per second"


Pace = ClosedLoop | OpenLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when requests are sent, from when they count, and until when, or how many count."""

    start_ns: int
    counted_ns: int  # what is due earlier is warm-up
    end_ns: int | None = None  # nothing is due from then on; None: `requests` decides
    requests: int | None = None


class Admission:
    """Says of each request, in the order in which they are due, whether it is still to be sent."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._counted = 0

    def admits(self, due_ns: int) -> bool:
        if due_ns < self._span.counted_ns:
            return True
        if self._span.end_ns is not None:
            return due_ns < self._span.end_ns
        self._counted += 1
        return self._counted <= (self._span.requests or 0)


def poisson_ns(rate: float, start_ns: int, seed: int) -> Iterator[int]:
    """When the requests of a Poisson process of `rate` per second are due, without end.

    The gaps are exponential, so bursts and lulls come as they do where callers do not know each
    other.
    """
    rng = np.random.default_rng(seed)
    due_s = 0.0
    while True:
        for gap_s in rng.exponential(1 / rate, 1024):
            due_s += gap_s
            yield start_ns + int(due_s * 1e9)


def share(pace: Pace, span: Span, processes: int) -> list[tuple[Pace, Span]]:
    """One load as several that add up to it: Poisson processes add up to a Poisson process.

    Raises InvalidArgument if there are more processes than callers or requests to share.
    """
    counts = _parts(span.requests, processes)
    spans = [span if count is None else replace(span, requests=count) for count in counts]
    if isinstance(pace, OpenLoop):
        return [(OpenLoop(pace.rate / processes), own) for own in spans]
    callers = _parts(pace.concurrency, processes)
    return [(ClosedLoop(own or 0), span) for own, span in zip(callers, spans, strict=True)]


def _parts(total: int | None, parts: int) -> list[int | None]:
    if total is None:
        return [None] * parts
    if total < parts:
        raise invalid(f"{parts} processes cannot share {total} between them; use fewer")
    whole, rest = divmod(total, parts)
    return [whole + (part < rest) for part in range(parts)]
