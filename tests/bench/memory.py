"""Resident memory after a load: of the server, and of two separate sessions without one.

PSS is judged, RSS is told beside it. Sessions map weights from a file, and a page that a process
maps twice is in memory once: RSS counts it twice, PSS once. PSS also divides pages among processes,
so no two servers run at a time here; other Python programs may still share libraries with one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.callers import Callers
from tests.bench.results import Row, at_most, ratios
from tests.bench.rivals import LENGTH_AWARE, Rival, instances, served
from tests.bench.setting import Setting, say
from tests.bench.subjects import Subject

TEXTS = 96
KINDS = ("PSS", "RSS")
LONGEST = 4  # texts, the longest of all, are among them


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in MB (2**20 bytes)."""

    rss_mb: float
    pss_mb: float


def memory_of(pid: int) -> Memory:
    """What is resident now."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = {name: int(kb) for name, kb in re.findall(r"^(\w+):\s+(\d+) kB$", told, re.M)}
    return Memory(kilobytes["Rss"] / 1024, kilobytes["Pss"] / 1024)


def rows(setting: Setting) -> list[Row]:
    return [row for subject in setting.subjects for row in _rows(subject, setting)]


def _rows(subject: Subject, setting: Setting) -> list[Row]:
    by_length = sorted(setting.texts, key=len)
    texts = [*setting.texts[:TEXTS], *by_length[-LONGEST:]]
    contestants: dict[str, Callable[[], Memory]] = {
        "ours": lambda: _of_server(LENGTH_AWARE, subject, setting, texts),
        "two sessions": lambda: _of_sessions(subject, texts),
        "one instance": lambda: _of_server(instances(1), subject, setting, texts),
        "two instances": lambda: _of_server(instances(2), subject, setting, texts),
    }
    found: dict[str, list[Memory]] = {name: [] for name in contestants}
    for _ in range(setting.times(2)):
        for name, measured in contestants.items():
            found[name].append(measured())
            memory = found[name][-1]
            say(f"{subject.name}, {name}: {memory.rss_mb:.0f} MB RSS, {memory.pss_mb:.0f} MB PSS")
    return [row for kind in KINDS for row in _ratios(subject.name, kind, found)]


def _ratios(name: str, kind: str, found: Mapping[str, Sequence[Memory]]) -> list[Row]:
    ours, separate, one, two = (_mb(memories, kind) for memories in found.values())
    judged = kind == "PSS"
    return [
        Row(
            f"{name}: {kind} of the server, of two separate sessions'",
            ratios(ours, separate),
            at_most(0.7) if judged else None,
        ),
        Row(
            f"{name}: {kind} of two instances, of one's",
            ratios(two, one),
            at_most(1.15) if judged else None,
        ),
    ]


def _mb(found: Sequence[Memory], kind: str) -> list[float]:
    return [memory.pss_mb if kind == "PSS" else memory.rss_mb for memory in found]


def _of_server(rival: Rival, subject: Subject, setting: Setting, texts: list[str]) -> Memory:
    with served(rival, subject, setting.scratch) as server, Callers() as callers:
        callers.unary(server.address)(texts)
        return memory_of(server.process.pid)


def _of_sessions(subject: Subject, texts: list[str]) -> Memory:
    with _sessions(subject, texts) as process:
        return memory_of(process.pid)


@contextmanager
def _sessions(subject: Subject, texts: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process with two sessions that have computed the texts."""
    files = ["--graph", str(subject.graph), "--tokenizer", str(subject.tokenizer)]
    command = [sys.executable, "-m", "tests.bench.sessions", *files]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        print(json.dumps(texts), file=process.stdin, flush=True)
        if process.stdout.readline().strip() != "done":
            raise RuntimeError("two sessions could not compute the texts; see above")
        yield process
        process.stdin.close()  # it ends
