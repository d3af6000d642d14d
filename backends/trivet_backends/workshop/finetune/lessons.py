"""The rows of a run as batches of tensors: from ids, or from a frozen encoder's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trivet_backends.workshop.finetune import tasks
from trivet_backends.workshop.finetune.encode import Masking, Row, padded
from trivet_backends.workshop.finetune.examples import Example, HeadTask
from trivet_backends.workshop.finetune.features import Features

_WORD_MASKS = 1  # what a seed of masks begins with, so that it is no seed of an order


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """rows: as they were encoded. masking: of fill_mask, drawn anew in each epoch if it is given;
    else rows are as they shall be. features: of a frozen encoder, one entry per row."""

    examples: Sequence[Example]
    rows: Sequence[Row]
    task: HeadTask
    pad_id: int
    seed: int
    masking: Masking | None = None
    features: Features | None = None

    def take(self, places: Sequence[int], epoch: int) -> list[Row]:
        """The rows at these places, as they are in this epoch."""
        rows = [self.rows[place] for place in places]
        if self.masking is None:
            return rows
        return [
            self.masking.masked(row, [_WORD_MASKS, self.seed, epoch, place])
            for place, row in zip(places, rows, strict=True)
        ]

    def batch(self, places: Sequence[int], rows: Sequence[Row], device: Any) -> dict[str, Any]:
        """What `Trainee.forward` takes. rows: of `take`."""
        if self.features is not None:
            return {"features": torch.from_numpy(self.features.of(places)).to(device)}
        arrays: Mapping[str, Any] = {
            **padded(rows, self.pad_id),
            "places": tasks.places_of(rows, self.task),
        }
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def masked_once(rows: Sequence[Row], masking: Masking, seed: int) -> list[Row]:
    """Every row with the same words hidden for good: what is judged by, or has features."""
    return [masking.masked(row, [_WORD_MASKS, seed, place]) for place, row in enumerate(rows)]
