"""What was measured of each candidate, and which is the best under the bound. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from trivet_backends.workshop.tune.space import CURRENT, Candidate

# A winner must be better than the config as it stands by more than two runs of one differ.
NOISE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run under the load. errors: requests that failed, or why there was no run."""

    texts_per_s: float
    p50_ms: float
    p99_ms: float
    errors: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A candidate and its runs; at least one."""

    candidate: Candidate
    runs: tuple[Measured, ...]

    @property
    def failed(self) -> str:
        """Why it is out of the question; empty if it is not."""
        return next((run.errors for run in self.runs if run.errors), "")

    @property
    def p99_ms(self) -> float:
        """The median over its runs, which one disturbance does not move."""
        return statistics.median(run.p99_ms for run in self.runs)

    @property
    def p50_ms(self) -> float:
        return statistics.median(run.p50_ms for run in self.runs)

    @property
    def texts_per_s(self) -> float:
        return statistics.median(run.texts_per_s for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """p99_ms: the bound; None for none. at_a_rate: the load is given, so latency is what counts."""

    p99_ms: float | None
    at_a_rate: bool

    def meets(self, tried: Tried) -> bool:
        """Whether a candidate answers all, in time."""
        return not tried.failed and (self.p99_ms is None or tried.p99_ms <= self.p99_ms)

    def key(self, tried: Tried) -> tuple[float, ...]:
        """Sorts the better first: whole before broken, in time before late, then by the aim."""
        if tried.failed:
            return (2, 0, 0)
        if not self.meets(tried):
            return (1, tried.p99_ms, -tried.texts_per_s)
        if self.at_a_rate:
            return (0, tried.p99_ms, -tried.texts_per_s)
        return (0, -tried.texts_per_s, tried.p99_ms)


def ranked(tried: Sequence[Tried], goal: Goal) -> list[Tried]:
    """The best first; those measured more often come before others that are like them."""
    return sorted(tried, key=lambda one: (*goal.key(one), -len(one.runs), str(one.candidate)))


def survivors(tried: Sequence[Tried], goal: Goal, kept: int) -> list[Candidate]:
    """Who goes on: the best, and always the config as it stands, to compare with."""
    best = [one.candidate for one in ranked(tried, goal)[:kept] if not one.failed]
    return best if CURRENT in best else [*best, CURRENT]


def winner(finals: Sequence[Tried], goal: Goal) -> Tried | None:
    """The best that meets the goal; the config as it stands unless it is beaten clearly; or None.

    finals: those of the last round.
    """
    good = [one for one in ranked(finals, goal) if goal.meets(one)]
    if not good:
        return None
    current = next((one for one in good if one.candidate == CURRENT), None)
    return current if current and not _clearly(good[0], current, goal) else good[0]


def _clearly(best: Tried, current: Tried, goal: Goal) -> bool:
    if goal.at_a_rate:
        return best.p99_ms < current.p99_ms * (1 - NOISE)
    return best.texts_per_s > current.texts_per_s * (1 + NOISE)
