"""Which settings are tried, and who goes on to the next round. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_BATCH_TOKENS = (64, 128, 256, 512)
MAX_PADDING_PERCENT = (10, 25, 50)
KEPT = 4  # one of so many goes on to the next round
FINALISTS = 3


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Candidate:
    """One way to run a model. Where all are None it is the config as it stands.

    engine: None: as the config has it. instances, threads (of each): 0: as the load allows.
    """

    engine: str | None = None
    instances: int | None = None
    threads: int | None = None
    max_batch_tokens: int | None = None  # rows times the longest row
    max_padding_percent: int | None = None

    def __str__(self) -> str:
        if self == CURRENT:
            return "as it is"
        parts = [
            self.engine or "",
            "automatic" if self.instances == 0 else f"{self.instances} x {self.threads} threads",
            f"{self.max_batch_tokens} tokens",
            f"{self.max_padding_percent} % padding",
        ]
        return ", ".join(filter(None, parts))


CURRENT = Candidate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What may be tried. engines: () to leave it as it is. instances: () for every way to divide
    the cores evenly, and what follows the load."""

    cores: int
    engines: Sequence[str] = ()
    instances: Sequence[int] = ()
    max_batch_tokens: Sequence[int] = MAX_BATCH_TOKENS
    max_padding_percent: Sequence[int] = MAX_PADDING_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """How one round of the search goes. repeats: times each candidate is measured, in turn."""

    repeats: int
    kept: int  # candidates that go on


def candidates(choices: Choices) -> list[Candidate]:
    """The config as it stands, and every combination."""
    cores = choices.cores
    engines: Sequence[str | None] = choices.engines or [None]
    instances = choices.instances or [0, *(n for n in range(1, cores + 1) if cores % n == 0)]
    return [
        CURRENT,
        *(
            Candidate(
                engine=engine,
                instances=count,
                threads=max(1, cores // count) if count else 0,
                max_batch_tokens=tokens,
                max_padding_percent=percent,
            )
            for engine in engines
            for count in instances
            for tokens in choices.max_batch_tokens
            for percent in choices.max_padding_percent
        ),
    ]


def rungs(count: int) -> list[Rung]:
    """Successive halving: short looks at many, then several at the few best.

    The last rung keeps one, and repeats more, since what it tells apart is near.
    """
    found: list[Rung] = []
    while count > FINALISTS:
        count = max(FINALISTS, -(-count // KEPT))
        found.append(Rung(repeats=len(found) + 1, kept=count))
    return [*found, Rung(repeats=len(found) + 2, kept=1)]
