"""Which rows each step takes, and how fast it learns: pure functions of seed, epoch and step.

Nothing here is remembered from step to step, so a run that was killed goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# Batches whose rows are sorted by length together, so that they hold little padding.
_SORTED_BATCHES = 32

Batch = list[int]  # places of rows
Step = list[Batch]  # batches whose gradients are added up


def steps_of(
    lengths: Sequence[int], seed: int, epoch: int, batch_size: int, accumulation: int
) -> list[Step]:
    """The steps of one epoch: every row once, in an order of the epoch's own.

    lengths: of each row, in tokens. batch_size: rows of a batch, over all processes.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    reach, batches = batch_size * _SORTED_BATCHES, list[Batch]()
    for first in range(0, len(order), reach):
        near = sorted(
            (int(place) for place in order[first : first + reach]), key=lengths.__getitem__
        )
        batches += [near[at : at + batch_size] for at in range(0, len(near), batch_size)]
    batches = [batches[int(place)] for place in rng.permutation(len(batches))]
    return [batches[at : at + accumulation] for at in range(0, len(batches), accumulation)]


def share_of(batch: Sequence[T], process: int, processes: int) -> list[T]:
    """What one of several processes takes of a batch's rows, or of batches; may be nothing."""
    return list(batch[process::processes])


def in_order(lengths: Sequence[int], batch_size: int) -> list[Batch]:
    """All rows in batches of like length, longest first: for what is computed without learning."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def rate(step: int, steps: int, warm_up: int) -> float:
    """The learning rate of a step (from 0) as a factor: up in a line, then down in one to 0."""
    if step < warm_up:
        return (step + 1) / warm_up
    return max(0.0, (steps - step) / max(1, steps - warm_up))
