"""What a bounded queue promises to those whom it takes."""

from __future__ import annotations

import pytest

from tests.bench.open_loop import AT_A_TIME, Round
from trivet_client.bench.summary import Latency, Summary


def summary(requests_per_s: float, p99_ms: float) -> Summary:
    return Summary(
        seconds=1.0,
        answered=100,
        errors={},
        requests_per_s=requests_per_s,
        texts_per_s=requests_per_s,
        tokens_per_s=None,
        latency=Latency(p50_ms=1.0, p90_ms=2.0, p99_ms=p99_ms, max_ms=p99_ms),
        failure=None,
        late_p99_ms=0.0,
    )


def test_it_is_two_times_as_many_as_are_let_in_and_the_computing_itself() -> None:
    usual = summary(requests_per_s=500, p99_ms=1)
    alone, overloaded = summary(100, p99_ms=30), summary(requests_per_s=AT_A_TIME, p99_ms=2500)
    round_ = Round(
        alone=alone,
        saturated=usual,
        loaded=usual,
        overloaded=overloaded,
        health=Latency(p50_ms=1, p90_ms=1, p99_ms=1, max_ms=1),
        recovered_s=0.1,
    )
    assert round_.limit_ms == pytest.approx(2000 + 30)  # so many take a second
