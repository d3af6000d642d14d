"""What `trivet tune` was asked for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trivet_backends.workshop.tune.space import MAX_BATCH_TOKENS, MAX_PADDING_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """rate: requests per second; None: `concurrency` callers who ask again when answered.

    texts: a file; None: random words of `lengths`.
    """

    rate: float | None = None
    concurrency: int = 64
    texts: Path | None = None
    lengths: str = "lognormal:24:110"
    warmup_s: float = 0.5
    duration_s: float = 3.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """p99_ms: None for no bound. engine: None for all whose files are there."""

    model: str
    repository: Path
    asked: str | None = None
    p99_ms: float | None = None
    load: LoadOptions = LoadOptions()
    engine: str | None = None
    instances: tuple[int, ...] = ()
    max_batch_tokens: tuple[int, ...] = MAX_BATCH_TOKENS
    max_padding_percent: tuple[int, ...] = MAX_PADDING_PERCENT
    dry_run: bool = False
    force: bool = False
