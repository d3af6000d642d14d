"""What is asked, in which order: drawn from a seed, so that a run can be had again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

# How often each task is drawn. Those that compute are rare enough to leave the others room.
WEIGHTS: Mapping[str, int] = {
    "embed": 8,
    "embed_stream": 2,
    "fill_mask": 4,
    "zero_shot": 2,
    "classify": 8,
    "tokenize": 6,
    "echo": 8,
    "pipeline": 6,
    "versioned": 6,
    "come_and_go": 4,
    "raw_stream": 4,
    "python": 6,
    "python_decoupled": 3,
    "decoupled": 4,
    "sequence": 6,
    "shared_memory": 3,
    "bad_input": 8,
    "bad_stream": 2,
}
# Left alone: what their caller would leave behind, the server would rightly keep.
ALWAYS_AWAITED = frozenset({"shared_memory", "bad_input"})


class Fate(Enum):
    """What becomes of a call, by its caller's will."""

    AWAITED = "awaited"
    CANCELLED = "cancelled"
    LATE = "late"  # it has a deadline, which it may miss


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One thing to ask. number: what is chosen within the task depends on it alone."""

    task: str
    number: int
    fate: Fate
    patience_s: float  # until it is cancelled, or its deadline; of no meaning when awaited


def jobs(seed: int, caller: int) -> Iterator[Job]:
    """What one caller asks, without end; the same for the same seed and number of the caller."""
    rng = random.Random(f"{seed}/{caller}")
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        (task,) = rng.choices(names, weights)
        (fate,) = rng.choices(list(Fate), (90, 6, 4))
        yield Job(
            task=task,
            number=rng.getrandbits(32),
            fate=Fate.AWAITED if task in ALWAYS_AWAITED else fate,
            # From too short for anything to long enough for most, evenly by magnitude.
            patience_s=10 ** rng.uniform(-3.5, -0.5),
        )
