"""What all parts of `make bench` share: models, texts, how often, and how progress shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.subjects import Subject
from tests.harness.texts import mixed_lengths, mixed_texts

CALLERS = 64
# Seconds before each run: an engine's threads spin on for a while after the run before, and would
# take the cores from the next contestant.
PAUSE_S = 0.2
WARM_UP_TEXTS = 64

Contestant = Callable[[Sequence[str]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run of the bench."""

    subjects: Sequence[Subject]
    count: int  # of texts
    rounds: int | None  # None: each part's own number
    scratch: Path  # an empty folder, gone afterwards
    notes: list[str] = field(default_factory=list)  # told under the table

    @property
    def texts(self) -> list[str]:
        return mixed_texts(self.count)

    @property
    def tokens(self) -> int:
        return sum(mixed_lengths(self.count))

    def times(self, usual: int) -> int:
        """How many rounds, where a part usually has so many."""
        return self.rounds or usual


def say(what: str) -> None:
    """Progress, with the time of day: a run takes minutes."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


def timed_rounds(
    contestants: Mapping[str, Contestant],
    texts: Sequence[str],
    rounds: int,
    what: str,
    ended: Callable[[str], None] = lambda name: None,
) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, all in turn within a round.

    Before, each gets some texts that are not counted. what: named in the lines of progress.
    ended: called with a contestant's name after each of its counted runs, and with "" before them.
    """
    for contestant in contestants.values():
        contestant(texts[:WARM_UP_TEXTS])
    ended("")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, contestant in contestants.items():
            seconds[name].append(seconds_of(contestant, texts))
            ended(name)
        told = ", ".join(f"{name} {values[-1]:.1f} s" for name, values in seconds.items())
        say(f"{what}, round {number} of {rounds}: {told}")
    return seconds


def seconds_of(contestant: Contestant, texts: Sequence[str]) -> float:
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    contestant(texts)
    return time.perf_counter() - started
