"""What a bench found: a table for the eye, notes under it, JSON for programs."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence

from trivet_client.bench.levels import Level, label
from trivet_client.bench.picture import Point
from trivet_client.bench.schedule import OpenLoop
from trivet_client.bench.summary import binned, rows_per_batch

NO_PADDING = "padding: the server does not tell it; a trivet does, by trivet.v1.ServerService"


def show(levels: Sequence[Level], notes: Sequence[str]) -> None:
    """Print the table, in a terminal with rich if it is there, and what does not fit into it."""
    headings, rows = _headings(levels), [_row(level, levels) for level in levels]
    if not (sys.stdout.isatty() and _show_rich(headings, rows)):
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        for row in (headings, *rows):
            print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    for note in (*_notes(levels), *notes):
        print(note)
    sys.stdout.flush()


def points(levels: Sequence[Level], unit: str) -> list[Point]:
    """The levels that were answered, as points of a picture."""
    return [
        Point(
            label=_label(level),
            per_s=level.summary.texts_per_s if unit == "texts/s" else level.summary.requests_per_s,
            p50_ms=level.summary.latency.p50_ms,
            p90_ms=level.summary.latency.p90_ms,
            p99_ms=level.summary.latency.p99_ms,
        )
        for level in levels
        if level.summary.latency
    ]


def varied(levels: Sequence[Level], number: str) -> str:
    """What a picture's labels say. number: what the loads were given."""
    padded = any(level.padding_ratio is not None for level in levels)
    return f"{number}, padding" if padded else number


def document(level: Level) -> dict[str, object]:
    """One level for programs: numbers carry their units in their names; null: not known."""
    return {
        "loop": "open" if isinstance(level.pace, OpenLoop) else "closed",
        **dataclasses.asdict(level.pace),  # concurrency, or rate per second
        **dataclasses.asdict(level.summary),
        "server_cpu_ms_per_request": level.server_cpu_ms,
        "batches": None
        if level.batches is None
        else {
            model: {str(k): v for k, v in sizes.items()} for model, sizes in level.batches.items()
        },
        "tokens": None
        if level.costs is None
        else {
            model: {**dataclasses.asdict(cost), "padding_ratio": cost.padding_ratio}
            for model, cost in level.costs.items()
        },
        "padding_ratio": level.padding_ratio,
        "client_busy": level.client_busy,
        "client_limits": level.client_limits,
        "engine": None
        if level.engine is None
        else {
            **dataclasses.asdict(level.engine),
            "throughput_ratio": level.engine_share,
        },
    }


def _headings(levels: Sequence[Level]) -> list[str]:
    first = "per second" if any(isinstance(each.pace, OpenLoop) for each in levels) else "at a time"
    engine = ["of engine"] if any(level.engine for level in levels) else []
    rates = ["requests/s", "texts/s", "tokens/s"]
    shown = [first, *rates, "padding", "p50 ms", "p90 ms", "p99 ms", "max ms"]
    return [*shown, "errors", "CPU ms", *engine]


def _row(level: Level, levels: Sequence[Level]) -> list[str]:
    told = level.summary
    latency = told.latency
    engine = [_or_dash(level.engine_share, ".2f")] if any(each.engine for each in levels) else []
    shown = (
        [latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms] if latency else [None] * 4
    )
    return [
        label(level.pace),
        f"{told.requests_per_s:,.1f}",
        f"{told.texts_per_s:,.1f}",
        _or_dash(told.tokens_per_s, ",.0f"),
        _or_dash(level.padding_ratio, ".1%"),
        *(_or_dash(value, ",.1f") for value in shown),
        str(told.failed),
        _or_dash(level.server_cpu_ms, ".2f"),
        *engine,
    ]


def _label(level: Level) -> str:
    ratio = level.padding_ratio
    return label(level.pace) if ratio is None else f"{label(level.pace)}, {ratio:.0%}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _show_rich(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """False if rich is not installed."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    table = Table(box=None, header_style="bold cyan", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
    return True


def _notes(levels: Sequence[Level]) -> Iterator[str]:
    for level in levels:
        for model, sizes in (level.batches or {}).items():
            yield f"{level.pace}: batches of {model}: {_formed(sizes)}"
    for level in levels:
        for status, count in sorted(level.summary.errors.items()):
            yield f"{level.pace}: ERRORS: {count} x {status}; latencies are of the others"
        if failure := level.summary.failure:
            yield (
                f"{level.pace}: errors came {failure.p50_ms:.1f} ms (p50) to {failure.p99_ms:.1f} "
                "ms (p99) after their requests were sent"
            )
    for level in levels:
        for model, cost in (level.costs or {}).items():
            yield (
                f"{level.pace}: tokens of {model}: {cost.tokens:,}, and {cost.padding_tokens:,} "
                f"({_or_dash(cost.padding_ratio, '.1%')} of all) padding"
            )
    if any(level.batches is not None and level.costs is None for level in levels):
        yield NO_PADDING
    for level in levels:
        if level.engine and level.summary.latency:
            yield (
                f"{level.pace}: bare engine, best batching: {level.engine.tokens_per_s:,.0f} "
                f"tokens/s; one text alone on all cores: p50 {level.engine.alone_p50_ms:.1f} ms, "
                f"the server's p50 {level.summary.latency.p50_ms:.1f} ms"
            )
    for level in levels:
        if level.client_limits:
            yield (
                f"{level.pace}: WARNING: a client process used {level.client_busy:.0%} of a core, "
                "so the numbers may be the client's, not the server's; give it more --processes"
            )


def _formed(sizes: Mapping[int, int]) -> str:
    mean = rows_per_batch(sizes)
    if mean is None:
        return "none"
    bins = ", ".join(f"{count} of {size}" for size, count in binned(sizes).items())
    return f"{mean:.1f} rows on average ({bins})"
