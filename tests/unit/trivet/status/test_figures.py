"""Counters -> numbers of a second."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trivet.status.figures import NOTHING, STAGES, Counts, figures, quantile
from trivet.telemetry.histogram import NS_BOUNDS, Histogram

MS = 1_000_000


def counted(*values_ms: float) -> list[int]:
    histogram = Histogram()
    for value in values_ms:
        histogram.add(round(value * MS))
    return histogram.counts


def with_infer(*values_ms: float) -> Counts:
    return replace(NOTHING, stages={**NOTHING.stages, "infer": counted(*values_ms)})


def test_a_quantile_lies_in_the_bucket_of_its_value() -> None:
    values = [0.3] * 50 + [7.0] * 45 + [300.0] * 5
    assert 0.25 * MS < (quantile(counted(*values), 0.5) or 0) <= 0.5 * MS
    assert 5 * MS < (quantile(counted(*values), 0.95) or 0) <= 10 * MS
    assert 250 * MS < (quantile(counted(*values), 0.99) or 0) <= 500 * MS


def test_without_values_there_is_no_quantile_and_over_all_bounds_it_is_the_last() -> None:
    assert quantile(counted(), 0.5) is None
    assert quantile(counted(1e9), 0.95) == NS_BOUNDS[-1]


def test_nothing_is_no_number_rather_than_zero() -> None:
    told = figures(NOTHING, 1.0, waiting=3, instances=0)
    assert (told["requests"], told["waiting"]) == (0, 3)
    assert (told["rows"], told["padding"], told["busy"]) == (None, None, None)
    assert told["ms"] == dict.fromkeys(STAGES)
    assert NOTHING.is_quiet


def test_numbers_are_of_the_seconds_that_passed() -> None:
    before = replace(with_infer(1, 1), answered=10, failed=1, tokens=50, padding=5, batches=3)
    now = replace(
        with_infer(1, 1, 40),
        answered=30,
        failed=2,
        tokens=80,
        padding=15,
        batches=7,
        rows=8,
        busy_ns=3_000_000_000,
    )
    told = figures(now.since(before), 2.0, waiting=0, instances=3)
    assert (told["requests"], told["failures"], told["tokens"]) == (10, 0.5, 15)
    assert (told["rows"], told["padding"], told["busy"]) == (2, 25, 0.5)
    half, most = told["ms"]["infer"]
    assert 25 < half < most <= 50, "those before are not counted"
    assert not now.since(before).is_quiet


def test_what_two_counted_is_added() -> None:
    both = replace(with_infer(1), answered=1, rows=2).plus(replace(with_infer(9), answered=4))
    assert (both.answered, both.rows, sum(both.stages["infer"])) == (5, 2, 2)
    assert both.since(both).is_quiet


@pytest.mark.parametrize("busy_ns", [10**12, 0])
def test_no_instance_is_more_than_busy(busy_ns: int) -> None:
    told = figures(replace(NOTHING, busy_ns=busy_ns), 1.0, 0, instances=2)
    assert told["busy"] == (1 if busy_ns else 0)
