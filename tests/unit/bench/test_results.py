"""The table of `make bench`: bars, ratios, and what is kept of a run."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench.memory import memory_of
from tests.bench.results import Bar, Row, at_least, at_most, page, ratios, written


@pytest.mark.parametrize(
    ("bar", "value", "mark"),
    [
        (at_least(0.95), 0.95, "PASS"),
        (at_least(0.95), 0.94, "MISS"),
        (at_most(15), 15, "PASS"),
        (at_most(15), 15.1, "MISS"),
        (None, 7, ""),
    ],
)
def test_a_bar_is_held_against_the_value(bar: Bar | None, value: float, mark: str) -> None:
    assert Row("what", [value], bar).mark == mark


def test_the_median_of_the_rounds_decides_and_the_range_is_told() -> None:
    row = Row("speed", [0.5, 1.0, 0.97], at_least(0.95))
    assert (row.median, row.mark) == (0.97, "PASS")
    for told in ("speed", "0.97", "(0.50 to 1.00)", ">= 0.95", "PASS"):
        assert told in str(row)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="longer"):
        ratios([1.0], [1.0, 2.0])


def test_a_page_tells_when_on_what_and_with_which_versions() -> None:
    told = page(
        [Row("a", [1.0, 3.0], at_most(2))], ["a note"], datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    )
    lines = told.splitlines()
    assert "- date: 2026-01-02 03:04 UTC" in lines
    assert any(line.startswith("- machine: ") and " cores, " in line for line in lines)
    assert any(line.startswith("- versions: Python 3.") and "onnxruntime" in line for line in lines)
    assert "- a note" in lines
    assert lines[-1] == "| a | 2.00 | 1.00 | 3.00 | <= 2 | PASS |"


def test_a_page_is_kept_where_it_is_said(tmp_path: Path) -> None:
    assert written([Row("a", [1.0])], [], tmp_path / "t.md").read_text().count("| a |") == 1


def test_memory_is_of_one_process() -> None:
    memory = memory_of(os.getpid())
    assert 0 < memory.pss_mb <= memory.rss_mb
