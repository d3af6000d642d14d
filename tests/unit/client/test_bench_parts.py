"""The pure parts of `trivet bench`: arrivals, texts, percentiles, sums and the picture."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np
import pytest

from trivet_client.bench.distribution import Fixed, LogNormal, Uniform, lengths, texts
from trivet_client.bench.picture import Point, latency_throughput
from trivet_client.bench.schedule import (
    Admission,
    ClosedLoop,
    OpenLoop,
    Span,
    poisson_ns,
    share,
)
from trivet_client.bench.summary import (
    Outcome,
    Sample,
    binned,
    grown,
    percentile,
    rows_per_batch,
    summary,
)
from trivet_client.errors import InvalidArgument

S = 1_000_000_000
MS = 1_000_000


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7], 50, 7),
        ([7], 99, 7),
        ([1, 2], 50, 1),
        ([1, 2], 51, 2),
        (range(1, 101), 50, 50),
        (range(1, 101), 90, 90),
        (range(1, 101), 99, 99),
        (range(1, 101), 100, 100),
        (range(1, 11), 99, 10),
        (range(1, 11), 0, 1),
    ],
)
def test_a_percentile_is_a_value_that_was_there(
    values: Sequence[int], percent: float, expected: int
) -> None:
    assert percentile(values, percent) == expected


def test_poisson_arrivals_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    def first(seed: int) -> list[int]:
        return list(itertools.islice(poisson_ns(100, 5 * S, seed), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1) == sorted(first(1))
    assert first(1)[0] > 5 * S


def test_poisson_arrivals_have_their_rate_and_exponential_gaps() -> None:
    due = np.array(list(itertools.islice(poisson_ns(200, 0, 3), 20_000)))
    gaps_s = np.diff(due) / S
    assert gaps_s.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.03)  # as an exponential's
    assert (gaps_s > 1 / 200).mean() == pytest.approx(np.exp(-1), abs=0.02)


def test_seconds_end_a_run_by_when_requests_are_due() -> None:
    admission = Admission(Span(start_ns=0, counted_ns=10, end_ns=20))
    assert [admission.admits(due) for due in (0, 9, 10, 19, 20)] == [True] * 4 + [False]


def test_a_number_of_requests_does_not_count_the_warm_up() -> None:
    admission = Admission(Span(start_ns=0, counted_ns=10, requests=2))
    assert [admission.admits(due) for due in (0, 5, 9, 10, 11, 12)] == [True] * 5 + [False]


def test_a_load_is_shared_between_processes_without_loss() -> None:
    span = Span(start_ns=0, counted_ns=1, requests=7)
    parts = share(ClosedLoop(5), span, 3)
    assert [pace for pace, _ in parts] == [ClosedLoop(2), ClosedLoop(2), ClosedLoop(1)]
    assert [own.requests for _, own in parts] == [3, 2, 2]
    assert [pace for pace, _ in share(OpenLoop(30.0), span, 3)] == [OpenLoop(10.0)] * 3
    with pytest.raises(InvalidArgument, match="3 processes cannot share 2"):
        share(ClosedLoop(2), span, 3)


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("fixed:20", Fixed(20)),
        ("uniform:5:50", Uniform(5, 50)),
        ("lognormal:24:110", LogNormal(24, 110)),
    ],
)
def test_lengths_are_read(spelled: str, expected: object) -> None:
    assert lengths(spelled) == expected


@pytest.mark.parametrize(
    "spelled",
    [
        "",
        "fixed",
        "fixed:2",
        "fixed:513",
        "fixed:x",
        "uniform:9:5",
        "lognormal:24:24",
        "normal:3:4",
    ],
)
def test_lengths_that_are_none_are_refused_by_name(spelled: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(f"--lengths {spelled}")):
        lengths(spelled)


def test_texts_have_their_lengths() -> None:
    made = texts(LogNormal(24, 110), 4000, 1, masked=False)
    tokens = sorted(len(text.split()) + 2 for text in made)
    assert made == texts(LogNormal(24, 110), 4000, 1, masked=False)
    assert percentile(tokens, 50) == pytest.approx(24, abs=2)
    assert percentile(tokens, 95) == pytest.approx(110, rel=0.1)
    assert {len(text.split()) for text in texts(Uniform(5, 7), 200, 0, masked=False)} == {3, 4, 5}


def test_a_masked_text_has_one_mask_and_its_length() -> None:
    for text in texts(Fixed(3), 2, 0, masked=True) + texts(Fixed(20), 2, 0, masked=True):
        assert text.split().count("[MASK]") == 1
    assert len(texts(Fixed(20), 1, 0, masked=True)[0].split()) == 18


def sample(due_ms: float, done_ms: float, outcome: Outcome | None = None) -> Sample:
    return Sample(
        due_ns=int(due_ms * MS),
        sent_ns=int(due_ms * MS),
        done_ns=int(done_ms * MS),
        outcome=outcome or Outcome(texts=1, tokens=10),
    )


def test_the_warm_up_is_not_counted() -> None:
    told = summary([sample(0, 900), sample(1000, 1010), sample(1500, 1530)], S, 2 * S)
    assert (told.answered, told.requests_per_s, told.texts_per_s, told.tokens_per_s) == (
        2,
        2,
        2,
        20,
    )
    assert told.latency
    assert (told.latency.p50_ms, told.latency.max_ms) == (10, 30)


def test_a_request_that_ends_late_keeps_its_latency_but_adds_no_throughput() -> None:
    told = summary([sample(1900, 5000), sample(1000, 1010)], S, 2 * S)
    assert told.latency
    assert (told.answered, told.requests_per_s, told.latency.max_ms) == (2, 1, 3100)


def test_where_requests_are_counted_the_last_one_ends_the_window() -> None:
    told = summary([sample(500, 1100), sample(1000, 1500), sample(1500, 3000)], S, None)
    assert (told.seconds, told.requests_per_s) == (2, 1)


def test_errors_are_counted_by_status_and_have_no_part_in_latency() -> None:
    refused = Outcome(status="UNAVAILABLE")
    late = Outcome(status="DEADLINE_EXCEEDED")
    samples = [
        sample(1000, 1001, refused),
        sample(1000, 1900, late),
        sample(1001, 1002, refused),
        sample(1100, 1120),
    ]
    told = summary(samples, S, 2 * S)
    assert (told.errors, told.failed) == ({"UNAVAILABLE": 2, "DEADLINE_EXCEEDED": 1}, 3)
    assert told.latency
    assert told.failure
    assert (told.answered, told.requests_per_s, told.latency.p50_ms) == (1, 1, 20)
    assert (told.failure.p50_ms, told.failure.p99_ms) == (1, 900)
    nothing = summary(samples[:1], S, 2 * S)
    assert (nothing.latency, nothing.tokens_per_s) == (None, None)
    assert summary(samples[3:], S, 2 * S).failure is None


def test_an_error_is_timed_from_when_its_request_was_sent() -> None:
    late = Sample(
        due_ns=S, sent_ns=S + 7 * MS, done_ns=S + 9 * MS, outcome=Outcome(status="UNAVAILABLE")
    )
    told = summary([late], S, 2 * S)
    assert told.failure
    assert (told.failure.p50_ms, told.late_p99_ms) == (2, 7)


def test_batches_that_formed_are_the_growth_of_the_counts() -> None:
    formed = grown({1: 5, 2: 1}, {1: 7, 2: 1, 3: 4, 12: 2})
    assert formed == {1: 2, 3: 4, 12: 2}
    assert binned(formed) == {"1": 2, "3-4": 4, "9-16": 2}
    assert rows_per_batch(formed) == pytest.approx((2 + 12 + 24) / 8)
    assert rows_per_batch({}) is None


def point(label: str, per_s: float, ms: float) -> Point:
    return Point(label=label, per_s=per_s, p50_ms=ms, p90_ms=2 * ms, p99_ms=3 * ms)


@pytest.mark.parametrize("slowest_ms", [8.0, 800.0])
def test_the_picture_is_svg_whose_points_lie_within_the_axes(slowest_ms: float) -> None:
    drawn = latency_throughput(
        "a < b", "texts/s", "in flight", [point("1", 120, 4), point("64", 291, slowest_ms)]
    )
    root = ET.fromstring(drawn)
    space = {"svg": "http://www.w3.org/2000/svg"}
    said = ["".join(text.itertext()) for text in root.iterfind("svg:text", space)]
    assert {"a < b", "texts/s", "latency, ms", "numbers: in flight", "1", "64"} <= set(said)
    circles = root.findall("svg:circle", space)
    assert len(circles) == 6
    xs = [float(circle.attrib["cx"]) for circle in circles]
    ys = [float(circle.attrib["cy"]) for circle in circles]
    assert min(xs) >= 76
    assert max(xs) <= 696
    assert min(ys) >= 56
    assert max(ys) <= 376
    assert xs[0] < xs[1]  # more throughput is further right
    assert ys[0] > ys[1]  # more latency is higher up
    assert ys[0] > ys[2] > ys[4]  # p50, p90, p99 of one run


def test_a_picture_of_one_run_or_of_none_is_still_one() -> None:
    ET.fromstring(latency_throughput("t", "texts/s", "n", [point("1", 10, 5)]))
    ET.fromstring(latency_throughput("t", "texts/s", "n", []))
