"""What `make bench` found: rows with their bars, printed and kept as a page."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("trivet", "onnxruntime", "openvino", "grpcio", "protobuf", "numpy", "tokenizers")
WIDTH = 78  # of a row's name in the terminal


@dataclass(frozen=True, slots=True)
class Bar:
    """What a value should be: at least or at most `limit`."""

    sign: str  # ">=" or "<="
    limit: float

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}"

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.sign == ">=" else value <= self.limit


def at_least(limit: float) -> Bar:
    return Bar(">=", limit)


def at_most(limit: float) -> Bar:
    return Bar("<=", limit)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was compared, and the ratio (or value) of each round."""

    what: str
    values: Sequence[float]  # at least one
    bar: Bar | None = None  # None: told, but not judged

    @property
    def median(self) -> float:
        """What the bar is held against."""
        return statistics.median(self.values)

    @property
    def mark(self) -> str:
        if self.bar is None:
            return ""
        return "PASS" if self.bar.holds(self.median) else "MISS"

    @property
    def wanted(self) -> str:
        return "" if self.bar is None else str(self.bar)

    def __str__(self) -> str:
        spread = f"({min(self.values):.2f} to {max(self.values):.2f})"
        return f"{self.what:<{WIDTH}} {self.median:8.2f}  {spread:<20} {self.wanted:<8} {self.mark}"


def heading() -> str:
    return f"{'':<{WIDTH}} {'median':>8}  {'(lowest to highest)':<20} {'bar':<8}"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Round by round, because the speed of a shared machine drifts."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def written(rows: Sequence[Row], notes: Sequence[str], into: Path | None = None) -> Path:
    """Write the page, by default under the date and the kind of machine; returns where it is."""
    now = datetime.now(UTC)
    into = into or FOLDER / f"{now:%Y-%m-%d}-{platform.machine()}-{_cores()}-cores.md"
    into.parent.mkdir(exist_ok=True)
    into.write_text(page(rows, notes, now), encoding="utf-8")
    return into


def page(rows: Iterable[Row], notes: Iterable[str], measured_at: datetime) -> str:
    """Markdown: the table, and the machine, versions and date."""
    return "\n".join(
        [
            "# `make bench`",
            "",
            f"- date: {measured_at:%Y-%m-%d %H:%M} UTC",
            f"- machine: {machine()}",
            f"- versions: Python {platform.python_version()}, {_versions()}",
            *(f"- {note}" for note in notes),
            "",
            "| | median | lowest | highest | bar | |",
            "|---|---|---|---|---|---|",
            *map(_line, rows),
            "",
        ]
    )


def machine() -> str:
    """Processor, cores this process may use, memory and system, in one line."""
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = f"{platform.system()} {platform.release()}"
    return f"{_processor()}, {_cores()} cores, {gib:.0f} GiB, {system}"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue  # an engine that is not installed
    return ", ".join(found)


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _line(row: Row) -> str:
    low, high = min(row.values), max(row.values)
    return f"| {row.what} | {row.median:.2f} | {low:.2f} | {high:.2f} | {row.wanted} | {row.mark} |"
