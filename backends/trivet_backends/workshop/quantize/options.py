"""What `trivet quantize` was asked for, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.options import Task


class Publish(StrEnum):
    """Which of the variants that keep the accuracy go into the repository."""

    BEST = "best"  # the fastest of them
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How 8-bit weights are stored. symmetric None: as each variant does best."""

    symmetric: bool | None = None
    per_channel: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeOptions:
    """model: a checkpoint folder, a model's folder, or its name in `repository`."""

    model: str
    repository: Path | None = None
    variants: str | None = None
    texts: Path | None = None
    labelled: Path | None = None
    labelled_format: str | None = None
    columns: Columns = field(default_factory=Columns)  # of the labelled file
    weights: Weights = Weights()
    min_accuracy: float = 0.95
    calibration: int = 128  # texts
    evaluation: int = 1000  # texts at most
    lengths: tuple[int, ...] = (16, 32, 128)  # tokens of the rows whose latency is measured
    rounds: int = 15
    publish: Publish = Publish.BEST
    next_version: bool = False
    name: str | None = None  # of a checkpoint's models
    pipeline: str | None = None
    task: Task | None = None
    json: Path | None = None
