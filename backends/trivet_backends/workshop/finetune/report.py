"""What a run came to, as tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trivet_backends.workshop.entry import Published
from trivet_backends.workshop.finetune.options import FinetuneOptions

if TYPE_CHECKING:
    from trivet_backends.workshop.finetune.run import Outcome


def show(outcome: Outcome, options: FinetuneOptions) -> None:
    """Print scores, files and models."""
    print(
        f"best after step {outcome.step:,} of {outcome.steps:,}; "
        f"{outcome.seconds:.0f} s of training"
    )
    scores = [(name, f"{value:.4f}") for name, value in sorted(outcome.scores.items())]
    _table(("SCORE", "VALUE"), scores)
    print()
    files = [
        ("checkpoint", str(outcome.checkpoint)),
        ("learning curve", str(options.output / "learning-curve.png")),
        ("metrics", str(options.output / "metrics.jsonl")),
    ]
    _table(("FILE", "PATH"), files)
    if outcome.published:
        print()
        _table(("MODEL", "VERSION", ""), sorted(map(_model, outcome.published)))


def _model(model: Published) -> tuple[str, ...]:
    became = "published" if model.is_new else "up to date"
    return model.model, str(model.version), "; ".join(filter(None, [became, model.note]))


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    lines = [titles, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
