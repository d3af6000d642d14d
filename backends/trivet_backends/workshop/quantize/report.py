"""What came of every variant: a table for people, sorted, and a document for programs."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from trivet_backends.workshop.build_file import Json, tools
from trivet_backends.workshop.quantize.scores import Score
from trivet_backends.workshop.quantize.variants import SOURCE, Variant

_TOOLS = ("trivet", "onnxruntime", "openvino", "nncf", "torch", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant. size_bytes: of the files that hold the weights; 0 and no score: not made.

    milliseconds: of one row, by its tokens. verdict: what became of it, in words.
    """

    variant: Variant
    size_bytes: int = 0
    score: Score | None = None
    milliseconds: Mapping[int, float] = field(default_factory=dict)
    passed: bool = False
    verdict: str = ""


def judged(row: Row, min_accuracy: float) -> Row:
    """The row with the verdict on its accuracy."""
    assert row.score is not None
    if row.score.kept >= min_accuracy:
        return replace(row, passed=True, verdict="passed")
    return replace(row, verdict=f"below {min_accuracy:g}: not published")


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The source, then what passed, what did not, what was not made; each the fastest first."""

    def key(row: Row) -> tuple[bool, bool, bool, float, str]:
        made = row.score is not None
        return (
            row.variant is not SOURCE,
            not row.passed,
            not made,
            total_ms(row),
            row.variant.name,
        )

    return sorted(rows, key=key)


def best(rows: Sequence[Row]) -> Row | None:
    """The fastest that passed; None if none did."""
    passed = [row for row in ranked(rows) if row.passed and row.variant is not SOURCE]
    return passed[0] if passed else None


def total_ms(row: Row) -> float:
    """One row of each length."""
    return sum(row.milliseconds.values())


def table(rows: Sequence[Row], metric: str) -> str:
    """Aligned lines, sorted."""
    ordered = ranked(rows)
    source = next(row for row in ordered if row.variant is SOURCE)
    lengths = list(source.milliseconds)
    titles = (
        "VARIANT",
        "ENGINE",
        "MB",
        "SMALLER",
        "KEPT",
        *(f"MS/{tokens}" for tokens in lengths),
        "FASTER",
        "",
    )
    lines = [titles, *(_cells(row, source, lengths) for row in ordered)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        "  ".join(
            cell.ljust(width) if place in (0, 1, len(titles) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    return "\n".join([*aligned, f"KEPT: {metric}, as a share of the source's"])


def _cells(row: Row, source: Row, lengths: Sequence[int]) -> tuple[str, ...]:
    engine = str(row.variant.engine)
    if row.score is None:
        return (row.variant.name, engine, *[""] * (4 + len(lengths)), row.verdict)
    details = ", ".join(f"{name} {value:.4f}" for name, value in row.score.details.items())
    return (
        row.variant.name,
        engine,
        f"{row.size_bytes / 1e6:.1f}",
        f"{source.size_bytes / row.size_bytes:.2f}",
        f"{row.score.kept:.4f}",
        *(f"{row.milliseconds[tokens]:.2f}" for tokens in lengths),
        f"{total_ms(source) / total_ms(row):.2f}",
        "; ".join(filter(None, [row.verdict, details])),
    )


def document(rows: Sequence[Row], metric: str, asked: Mapping[str, Json]) -> dict[str, Json]:
    """Everything, as JSON has it."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "tools": tools(_TOOLS),
        "asked": asked,
        "metric": metric,
        "variants": [_entry(row) for row in ranked(rows)],
    }


def _entry(row: Row) -> dict[str, Json]:
    return {
        "variant": row.variant.name,
        "engine": str(row.variant.engine),
        "about": row.variant.about,
        "bytes": row.size_bytes,
        "score": asdict(row.score) if row.score else None,
        "milliseconds": {str(tokens): ms for tokens, ms in row.milliseconds.items()},
        "passed": row.passed,
        "verdict": row.verdict,
    }
