"""What was measured, beside the config it led to: tune.json for programs, tune.md for people."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from trivet_backends.workshop.build_file import Json, as_read, tools
from trivet_backends.workshop.tune.ranking import Goal, Tried, ranked

JSON, MARKDOWN = "tune.json", "tune.md"
_TOOLS = ("trivet", "onnxruntime", "openvino", "torch", "grpcio", "h2corn", "numpy", "tokenizers")
_TITLES = ("SETTINGS", "TEXTS/S", "P50 MS", "P99 MS", "RUNS", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One search. config: the text that was written, or would be; empty where nothing met."""

    model: str
    asked: str
    load: str
    goal: Goal
    tried: Sequence[Tried]
    winner: Tried | None
    config: str
    date: datetime


def cells(evidence: Evidence) -> list[tuple[str, ...]]:
    """The rows of the table, best first, titles above."""
    return [_TITLES, *(_row(one, evidence) for one in ordered(evidence))]


def ordered(evidence: Evidence) -> list[Tried]:
    """The winner, then the others by how far they came and how good they were there."""
    others = ranked(evidence.tried, evidence.goal)
    others.sort(key=lambda one: -len(one.runs))
    return sorted(others, key=lambda one: one is not evidence.winner)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in (0, len(row) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(evidence: Evidence) -> str:
    """The page beside the config."""
    bound = f"{evidence.goal.p99_ms:g} ms" if evidence.goal.p99_ms is not None else "none"
    chosen = str(evidence.winner.candidate) if evidence.winner else "none met the bound"
    versions = ", ".join(f"{name} {version}" for name, version in tools(_TOOLS).items())
    titles, *rows = cells(evidence)
    lines = [
        f"# `trivet tune {evidence.model}`",
        "",
        f"- date: {evidence.date:%Y-%m-%d %H:%M} UTC",
        f"- machine: {machine()}",
        f"- versions: Python {platform.python_version()}, {versions}",
        f"- load: {evidence.load}, on {evidence.asked}",
        f"- bound of p99: {bound}",
        f"- chosen: {chosen}",
        "",
        "Runs of one candidate are medians; candidates of a round were measured in turn.",
        "",
        "| " + " | ".join(titles) + " |",
        "|---|" + "---:|" * (len(titles) - 2) + "---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def document(evidence: Evidence) -> dict[str, Json]:
    """Everything, as JSON has it."""
    return {
        "model": evidence.model,
        "asked": evidence.asked,
        "date": evidence.date.isoformat(timespec="seconds"),
        "machine": machine(),
        "tools": tools(_TOOLS),
        "load": evidence.load,
        "p99_bound_ms": evidence.goal.p99_ms,
        "chosen": None if evidence.winner is None else dict(asdict(evidence.winner.candidate)),
        "tried": [
            as_read({"settings": asdict(one.candidate), "runs": [asdict(run) for run in one.runs]})
            for one in ordered(evidence)
        ],
        "config_sha256": digest(evidence.config),
    }


def wrote(folder: Path, config: str) -> bool:
    """Whether this very config is what the last search in this folder wrote."""
    try:
        raw = json.loads((folder / JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and raw.get("config_sha256") == digest(config)


def digest(config: str) -> str:
    return hashlib.sha256(config.encode()).hexdigest()


def machine() -> str:
    """Processor, cores this process may use, and system, in one line."""
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    name = found[1] if found else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {platform.system()} {platform.release()}"


def _row(one: Tried, evidence: Evidence) -> tuple[str, ...]:
    name, runs = str(one.candidate), str(len(one.runs))
    if one.failed:
        return (name, "", "", "", runs, one.failed)
    verdict = "" if evidence.goal.meets(one) else "over the bound"
    if one is evidence.winner:
        verdict = "chosen"
    return (name, f"{one.texts_per_s:.1f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", runs, verdict)


def as_text(evidence: Evidence) -> str:
    """The document as it is written."""
    return json.dumps(document(evidence), indent=2) + "\n"
