"""The caller beside a load."""

from __future__ import annotations

import pytest

from tests.bench.beside import latency_of
from trivet_client.bench.summary import Latency


def test_quantiles_are_answers_that_were_seen() -> None:
    took = [float(number) for number in range(1000, 0, -1)]
    assert latency_of(took) == Latency(p50_ms=501, p90_ms=901, p99_ms=991, max_ms=1000)
    assert latency_of([7.0]) == Latency(p50_ms=7, p90_ms=7, p99_ms=7, max_ms=7)


def test_no_answers_have_none() -> None:
    with pytest.raises(RuntimeError, match="nobody"):
        latency_of([])
