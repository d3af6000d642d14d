"""Figures of processes, and the line that says whether they are flat."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from tests.soak.watching import (
    BOUNDS,
    FEWEST,
    SETTLED_FROM_S,
    Line,
    Sample,
    figures_of,
    left_over,
    lines,
    theil_sen,
)

FLAT = {"rss": 500.0, "anonymous": 200.0, "pss": 300.0, "files": 40.0, "threads": 40.0}
FLAT |= {"children": 2.0, "children_rss": 70.0, "children_files": 18.0, "children_threads": 6.0}


def run(seconds: float, change: Callable[[float], float], name: str = "rss") -> dict[str, Line]:
    """The lines of a run in which one figure changes: change(seconds) is added to it."""
    samples = [
        Sample(at_s=at_s, figures={**FLAT, name: FLAT[name] + change(at_s)})
        for at_s in np.linspace(0, seconds, 121).tolist()
    ]
    return {line.name: line for line in lines(samples)}


def test_the_slope_is_that_of_most_pairs() -> None:
    times = list(range(50))
    values = [3.0 + 0.5 * time for time in times]
    assert theil_sen(times, values) == pytest.approx(0.5)
    for place in range(0, 50, 7):
        values[place] += 1000
    assert theil_sen(times, values) == pytest.approx(0.5, abs=0.1)


def test_a_slope_takes_two_times() -> None:
    assert theil_sen([1, 1, 2], [5, 7, 6]) == pytest.approx(0)
    with pytest.raises(ValueError, match="two times"):
        theil_sen([1, 1], [5, 6])


def test_what_stays_as_it_is_is_flat() -> None:
    found = run(600, lambda _: 0)
    assert set(found) == set(BOUNDS)
    assert all(line.flat and line.growth == 0 for line in found.values())
    assert [line.name for line in found.values() if not line.judged] == ["pss"]


def test_a_leak_of_memory_is_found_and_told_per_hour_and_over_the_second_half() -> None:
    line = run(600, lambda at_s: 0.1 * at_s)["rss"]
    assert not line.flat
    assert line.per_hour == pytest.approx(360)
    assert line.growth == pytest.approx(30)
    assert line.highest == pytest.approx(560)


def test_what_fills_in_the_first_half_and_peaks_are_no_leak() -> None:
    assert run(600, lambda at_s: 200 * min(at_s / 200, 1))["rss"].flat
    assert run(600, lambda at_s: 90 if int(at_s) % 50 < 10 else 0)["rss"].flat


@pytest.mark.parametrize("name", ["files", "threads", "children", "children_files"])
def test_counts_that_grow_are_found_in_short_runs_too(name: str) -> None:
    assert not run(60, lambda at_s: at_s, name)[name].flat


def test_memory_of_a_short_run_is_not_judged() -> None:
    short = run(SETTLED_FROM_S - 1, lambda at_s: at_s)["rss"]
    assert (short.judged, short.flat) == (False, True)
    assert not run(SETTLED_FROM_S + 1, lambda at_s: at_s)["rss"].flat


def test_a_few_samples_are_not_judged() -> None:
    for count, judged in ((2 * FEWEST, True), (FEWEST, False)):
        samples = [
            Sample(at_s=at_s, figures={**FLAT, "files": 50.0 * at_s}) for at_s in range(count)
        ]
        (line,) = (line for line in lines(samples) if line.name == "files")
        assert (line.judged, line.flat) == (judged, not judged)


def test_what_a_load_leaves_is_told_by_name_and_memory_is_not_a_count() -> None:
    after = {**FLAT, "files": 50.0, "children": 3.0, "rss": 900.0, "threads": 41.0}
    told = left_over(FLAT, after)
    assert [line.partition(":")[0] for line in told] == ["files", "children"]
    assert "40 before the load, 50 when it was over" in told[0]


def test_figures_are_those_of_a_process_and_of_its_children() -> None:
    code = "print(flush=True); input()"
    before = figures_of(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()  # it is up
        during = figures_of(os.getpid())
        child.communicate(b"\n")
    assert set(during) == set(BOUNDS)
    assert during["children"] == before["children"] + 1
    assert during["children_rss"] > before["children_rss"] + 1
    assert during["children_threads"] >= before["children_threads"] + 1
    assert during["rss"] > during["pss"] / 2 > 1
    assert figures_of(os.getpid())["children"] == before["children"]
