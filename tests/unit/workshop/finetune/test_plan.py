"""The order of rows and the learning rate: functions of seed, epoch and step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet_backends.workshop.finetune import plan


@given(
    lengths=st.lists(st.integers(1, 128), min_size=1, max_size=200),
    batch=st.integers(1, 40),
    accumulation=st.integers(1, 4),
    processes=st.integers(1, 4),
)
def test_an_epoch_has_every_row_once_whoever_takes_it(
    lengths: list[int], batch: int, accumulation: int, processes: int
) -> None:
    steps = plan.steps_of(lengths, 3, 1, batch, accumulation)
    taken = [
        row
        for step in steps
        for rows in step
        for process in range(processes)
        for row in plan.share_of(rows, process, processes)
    ]
    assert sorted(taken) == list(range(len(lengths)))
    assert all(len(step) == accumulation for step in steps[:-1])
    assert all(0 < len(rows) <= batch for step in steps for rows in step)


def test_each_epoch_has_an_order_of_its_own_and_always_the_same() -> None:
    lengths = [5] * 64
    first, again = (plan.steps_of(lengths, 0, 0, 8, 1) for _ in range(2))
    assert first == again
    assert first != plan.steps_of(lengths, 0, 1, 8, 1)
    assert first != plan.steps_of(lengths, 1, 0, 8, 1)


def test_batches_hold_rows_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 129, 2_000).tolist()
    batches = [rows for step in plan.steps_of(lengths, 0, 0, 16, 1) for rows in step]
    padded = sum(len(rows) * max(lengths[row] for row in rows) for rows in batches)
    assert padded < 1.1 * sum(lengths)


def test_the_rate_goes_up_and_then_down_to_nothing() -> None:
    rates = [plan.rate(step, 10, 2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(1 / 8)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert plan.rate(0, 1, 0) == 1.0
