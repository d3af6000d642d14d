"""The table of metrics, what is counted for them, and the text that is made of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trivet.errors import (
    CallerLeft,
    Code,
    DeadlineExceeded,
    EngineFailed,
    InstanceDied,
    InvalidInput,
    NotFound,
    QueueFull,
    QueueTimeout,
    Unavailable,
)
from trivet.telemetry.calls import CALL, MESSAGE, Calls
from trivet.telemetry.exposition import Process, Sheet, text
from trivet.telemetry.failures import Reason, reason_of
from trivet.telemetry.histogram import NS_BOUNDS, Histogram
from trivet.telemetry.host import Host
from trivet.telemetry.metrics import METRICS, Kind
from trivet.testing.clock import ManualClock


def test_a_value_counts_for_the_first_bound_that_is_not_below_it() -> None:
    histogram = Histogram((1, 10, 100))
    for value in (0, 1, 2, 10, 11, 100, 101, 5000):
        histogram.add(value)
    assert histogram.counts == [2, 2, 2, 2]
    assert histogram.sum == 5225
    histogram.add(7, times=3)
    assert histogram.counts == [2, 5, 2, 2]
    assert histogram.sum == 5246


def test_bounds_ascend_from_quick_calls_to_a_minute() -> None:
    assert list(NS_BOUNDS) == sorted(set(NS_BOUNDS))
    assert (NS_BOUNDS[0], NS_BOUNDS[-1]) == (100_000, 60_000_000_000)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (QueueFull("m", 1), Reason.REJECTED),
        (QueueTimeout("late"), Reason.REJECTED),
        (asyncio.CancelledError(), Reason.CANCELED),
        (GeneratorExit(), Reason.CANCELED),
        (CallerLeft("gone"), Reason.CANCELED),
        (EngineFailed("broke"), Reason.BACKEND),
        (InstanceDied("died"), Reason.BACKEND),
        (ValueError("a bug"), Reason.BACKEND),
        (InvalidInput("wrong"), Reason.OTHER),
        (Unavailable("no instance"), Reason.OTHER),
    ],
)
def test_why_a_request_failed(error: BaseException, reason: Reason) -> None:
    assert reason_of(error) is reason


def test_names_are_prometheus_and_counters_of_ours_end_in_total() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"(nv|trivet)_[a-z_]+", metric.name)
        assert metric.help and not metric.help.endswith(".")
        ours = metric.name.startswith("trivet_")
        assert metric.name.endswith("_total") == (ours and metric.kind is Kind.COUNTER)


def test_the_text_has_each_kind_as_it_is_and_can_be_parsed() -> None:
    sheet, took = Sheet(), Histogram()
    took.add(2_000_000)
    sheet.add("nv_inference_count", 3, 'a "name"\\', "1")
    sheet.add("trivet_tokens_total", 5, "m", "1")
    sheet.add_histogram("trivet_queue_seconds", took, "m", "1")
    sheet.add_histogram("trivet_queue_seconds", Histogram(), "idle", "1")
    written = text(sheet, Process()).decode()
    assert "# TYPE nv_inference_count counter\n" in written
    assert 'nv_inference_count{model="a \\"name\\"\\\\",version="1"} 3.0\n' in written
    assert "# TYPE trivet_tokens_total counter\n" in written
    assert 'trivet_queue_seconds_bucket{le="0.001",model="m",version="1"} 0.0\n' in written
    assert 'trivet_queue_seconds_bucket{le="0.0025",model="m",version="1"} 1.0\n' in written
    assert 'trivet_queue_seconds_bucket{le="+Inf",model="m",version="1"} 1.0\n' in written
    assert 'trivet_queue_seconds_sum{model="m",version="1"} 0.002\n' in written
    assert "idle" not in written
    families = {family.name for family in text_string_to_metric_families(written)}
    assert {"nv_inference_count", "trivet_tokens", "trivet_queue_seconds"} <= families


async def test_a_request_is_counted_once_with_its_status_and_time() -> None:
    clock = ManualClock()
    calls = Calls(clock)
    kind = calls.kind("Embed", CALL)
    assert calls.kind("Embed", CALL) is kind is not calls.kind("Embed", MESSAGE)
    with kind.one():
        await clock.advance(us=300)
    with pytest.raises(DeadlineExceeded), kind.one():
        raise DeadlineExceeded("late")
    with pytest.raises(asyncio.CancelledError), kind.one():
        raise asyncio.CancelledError
    with pytest.raises(KeyError), kind.one():
        raise KeyError
    with kind.one() as one:
        one.failed(NotFound("nobody"))
    told = {code.name: count for code, count in zip(Code, kind.codes, strict=True) if count}
    every = ("OK", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "NOT_FOUND")
    assert told == dict.fromkeys(every, 1)
    assert (sum(kind.took.counts), kind.took.sum) == (5, 300_000)
    assert [each.way for each in calls] == [CALL, MESSAGE]


def test_the_machines_figures_are_those_of_proc(tmp_path: Path) -> None:
    stat, memory = tmp_path / "stat", tmp_path / "meminfo"
    stat.write_text("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n")
    memory.write_text("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   250 kB\nHugePages: 0\n")
    host = Host(tmp_path)
    stat.write_text("cpu  130 0 130 730 110 0 0 0 60 0\n")
    figures = host.figures()
    assert figures is not None
    assert figures.cpu_utilization == pytest.approx(0.6)
    assert (figures.memory_total, figures.memory_used) == (1_024_000, 768_000)
    again = host.figures()
    assert again is not None
    assert again.cpu_utilization == 0
    assert Host(tmp_path / "nowhere").figures() is None
