"""What was asked and what came of it, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

REMEMBERED = 20_000  # times of each task, the last ones
TOLD = 5  # faults of each kind and task, the first ones


class Came(Enum):
    """What a call came to. The last two are what a run looks for."""

    RIGHT = "right"
    REFUSED = "refused"  # rightly, and in the right words
    CANCELLED = "cancelled"
    LATE = "late"
    WRONG = "wrong"  # an answer that is not what it has to be
    FAILED = "failed"  # an error that should not have been


class Wrong(Exception):
    """An answer is not what it has to be."""


@dataclass
class Tally:
    """So far, by task."""

    came: dict[str, Counter[Came]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)  # of what was right
    faults: list[str] = field(default_factory=list)

    def note(self, task: str, came: Came, seconds: float, what: str = "") -> None:
        """Count one. what: of one that was wrong or failed."""
        self.came.setdefault(task, Counter())[came] += 1
        if came in (Came.RIGHT, Came.REFUSED):
            times = self.seconds.setdefault(task, [])
            times.append(seconds)
            if len(times) > 2 * REMEMBERED:
                del times[:REMEMBERED]
        if came in (Came.WRONG, Came.FAILED) and self.came[task][came] <= TOLD:
            self.faults.append(f"{task}, {came.value}: {what}")

    def total(self, *came: Came) -> int:
        """Of all tasks; without arguments whatever they came to."""
        wanted = came or tuple(Came)
        return sum(counts[one] for counts in self.came.values() for one in wanted)

    def milliseconds(self, task: str, percentile: float) -> float:
        """Of answers and refusals that were right; 0 without one."""
        times = self.seconds.get(task)
        return float(np.percentile(times, percentile)) * 1e3 if times else 0.0
