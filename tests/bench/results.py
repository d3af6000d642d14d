"""The table of `make bench` as a page, with what it was measured on."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

LATEST = Path(__file__).parent / "results" / "latest.md"
PACKAGES = ("trivet", "onnxruntime", "grpcio", "protobuf", "numpy", "tokenizers")

Cells = tuple[str, Sequence[float], str, bool]  # what, values, what it should be, whether it is


def written(rows: Sequence[Cells], setting: str, into: Path = LATEST) -> Path:
    """Write the page; returns where it is. setting: what was run, in one line."""
    into.parent.mkdir(exist_ok=True)
    into.write_text(page(rows, setting, datetime.now(UTC)), encoding="utf-8")
    return into


def page(rows: Sequence[Cells], setting: str, measured_at: datetime) -> str:
    """Markdown: the table, and the machine, versions and date."""
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return "\n".join(
        [
            "# `make bench`",
            "",
            f"- date: {measured_at:%Y-%m-%d %H:%M} UTC",
            f"- machine: {machine()}",
            f"- versions: Python {platform.python_version()}, {versions}",
            f"- setting: {setting}",
            "",
            "| | median | lowest | highest | wanted | |",
            "|---|---|---|---|---|---|",
            *(_line(*row) for row in rows),
            "",
        ]
    )


def machine() -> str:
    """Processor, cores this process may use, memory and system, in one line."""
    cores = len(os.sched_getaffinity(0))
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = f"{platform.system()} {platform.release()}"
    return f"{_processor()}, {cores} cores, {gib:.0f} GiB, {system}"


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _line(what: str, values: Sequence[float], bar: str, ok: bool) -> str:
    middle = statistics.median(values)
    mark = "ok" if ok else "MISSED"
    return f"| {what} | {middle:.2f} | {min(values):.2f} | {max(values):.2f} | {bar} | {mark} |"
