"""Figures of a server's process and of its children, by /proc, and whether they are flat.

The line through them is Theil and Sen's (the median of the slopes between all pairs), which does
not mind peaks: a reload holds two loads for a moment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How much a figure may grow over the second half of a run, by the line: the larger of both."""

    unit: str
    absolute: float
    share: float  # of the figure's median
    settles: bool = False  # caches and arenas fill first: judged in runs that are long enough
    counts: bool = True  # False: it is told, and judged by nobody


# Of the server, and of all its children together.
BOUNDS: Mapping[str, Bound] = {
    "rss": Bound(unit="MB", absolute=16, share=0.04, settles=True),
    # Heaps and stacks, where leaks are; not the files of weights and libraries.
    "anonymous": Bound(unit="MB", absolute=16, share=0.04, settles=True),
    # It grows when another process that maps the same libraries ends.
    "pss": Bound(unit="MB", absolute=0, share=0, counts=False),
    "files": Bound(unit="", absolute=4, share=0.03),
    # Python's pool for odd jobs makes its threads, 6 on two cores, when they are first needed.
    "threads": Bound(unit="", absolute=8, share=0.03),
    "children": Bound(unit="", absolute=0.5, share=0),
    "children_rss": Bound(unit="MB", absolute=8, share=0.05, settles=True),
    "children_files": Bound(unit="", absolute=3, share=0.03),
    "children_threads": Bound(unit="", absolute=3, share=0.03),
}
SETTLED_FROM_S = 240.0  # a shorter run does not judge what has to settle
FEWEST = 8  # samples of the second half; fewer are not judged

Figures = Mapping[str, float]  # by the names of BOUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was seen at a time, in seconds since the load began."""

    at_s: float
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of one figure in the second half of a run."""

    name: str
    unit: str
    first: float  # of the whole run
    median: float
    highest: float  # of the whole run
    per_hour: float
    growth: float  # over the second half
    allowed: float
    judged: bool

    @property
    def flat(self) -> bool:
        return not self.judged or self.growth <= self.allowed


def figures_of(pid: int) -> Figures:
    """What a process holds now, and its children together. Raises OSError if it is gone."""
    children = [found for child in _descendants(pid) if (found := _held_if_alive(child))]
    return {
        **_held(pid),
        "children": len(children),
        **{
            f"children_{name}": sum(held[name] for held in children)
            for name in ("rss", "files", "threads")
        },
    }


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes between all pairs. Raises ValueError for less than two times."""
    x, y = np.asarray(times, float), np.asarray(values, float)
    earlier, later = np.triu_indices(len(x), 1)
    apart = x[later] - x[earlier]
    slopes = (y[later] - y[earlier])[apart > 0] / apart[apart > 0]
    if not slopes.size:
        raise ValueError("a slope takes samples of two times")
    return float(np.median(slopes))


def lines(samples: Sequence[Sample]) -> list[Line]:
    """One of each figure. Raises ValueError for less than two samples of the second half."""
    began, ended = samples[0].at_s, samples[-1].at_s
    second = [sample for sample in samples if sample.at_s >= (began + ended) / 2]
    return [_line(name, bound, samples, second) for name, bound in BOUNDS.items()]


def left_over(before: Figures, after: Figures) -> list[str]:
    """What a quiet server holds now and did not before the load: counts alone, by their bounds."""
    return [
        f"{name}: {before[name]:.0f} before the load, {after[name]:.0f} when it was over"
        for name, bound in BOUNDS.items()
        if not bound.unit and after[name] > before[name] + bound.absolute
    ]


def _line(name: str, bound: Bound, samples: Sequence[Sample], second: Sequence[Sample]) -> Line:
    every = [sample.figures[name] for sample in samples]
    values = [sample.figures[name] for sample in second]
    times = [sample.at_s for sample in second]
    slope = theil_sen(times, values)
    median = float(np.median(values))
    return Line(
        name=name,
        unit=bound.unit,
        first=every[0],
        median=median,
        highest=max(every),
        per_hour=slope * 3600,
        growth=slope * (times[-1] - times[0]),
        allowed=max(bound.absolute, bound.share * median),
        judged=bound.counts
        and len(second) >= FEWEST
        and (not bound.settles or samples[-1].at_s - samples[0].at_s >= SETTLED_FROM_S),
    )


def _held(pid: int) -> Figures:
    """Memory in MB (2**20 bytes), open files, threads."""
    told = (PROC / str(pid) / "smaps_rollup").read_text()
    kilobytes = {name: int(kb) for name, kb in re.findall(r"^(\w+):\s+(\d+) kB$", told, re.M)}
    files = len(list((PROC / str(pid) / "fd").iterdir()))
    threads = len(list((PROC / str(pid) / "task").iterdir()))
    return {
        "rss": kilobytes["Rss"] / 1024,
        "anonymous": kilobytes["Anonymous"] / 1024,
        "pss": kilobytes["Pss"] / 1024,
        "files": files,
        "threads": threads,
    }


def _held_if_alive(pid: int) -> Figures | None:
    """None for one that ended while it was looked at."""
    try:
        return _held(pid)
    except (OSError, KeyError):
        return None


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            told = (task / "children").read_text()
        except OSError:  # the thread has ended
            continue
        for child in map(int, told.split()):
            found.append(child)
            found.extend(_descendants_if_alive(child))
    return found


def _descendants_if_alive(pid: int) -> list[int]:
    try:
        return _descendants(pid)
    except OSError:
        return []
