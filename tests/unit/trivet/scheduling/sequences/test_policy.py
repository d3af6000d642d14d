"""Which heads leave together, and when: tables to check by eye."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from trivet.config import DirectStrategy, OldestStrategy
from trivet.scheduling.sequences.policy import TakeHeads, WaitUntil, plan_heads


@dataclass(frozen=True)
class Waiting:
    queued_ns: int
    shape: object = None


def heads(*queued_us: int | None, shapes: str = "aaaaaaaa") -> list[Waiting | None]:
    """One head per place, queued at these microseconds; None: the place has none."""
    return [
        None if at is None else Waiting(at * 1_000, shape)
        for at, shape in zip(queued_us, shapes, strict=False)
    ]


def us(when: int) -> WaitUntil:
    return WaitUntil(when * 1_000)


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        (heads(None, None), WaitUntil(None)),
        (heads(5, None, 3, None), TakeHeads((0, 2))),
        (heads(5, 4, 3, 2), TakeHeads((0, 1, 2, 3))),
        (heads(5, 4, 3, shapes="aba"), TakeHeads((0, 2))),  # 3 came first, 4 has another shape
        (heads(5, 2, 3, shapes="aba"), TakeHeads((1,))),  # the oldest decides the shape
    ],
)
def test_direct_takes_all_that_are_ready(
    waiting: list[Waiting | None], expected: TakeHeads | WaitUntil
) -> None:
    assert plan_heads(waiting, 9_000, DirectStrategy(), len(waiting)) == expected


@pytest.mark.parametrize(
    ("now_us", "waiting", "expected"),
    [
        (0, heads(None, None, None, None), WaitUntil(None)),
        (20, heads(20, None, None, None), us(120)),  # a quarter of the rows, half is asked for
        (119, heads(20, None, None, None), us(120)),
        (120, heads(20, None, None, None), TakeHeads((0,))),
        (30, heads(20, None, None, 30), TakeHeads((0, 3))),
    ],
)
def test_direct_waits_for_the_share_of_rows_asked_for(
    now_us: int, waiting: list[Waiting | None], expected: TakeHeads | WaitUntil
) -> None:
    strategy = DirectStrategy(max_queue_delay_us=100, minimum_slot_utilization=0.5)
    assert plan_heads(waiting, now_us * 1_000, strategy, 4) == expected


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        (heads(None, None), WaitUntil(None)),
        (heads(5, 1, 3), TakeHeads((1, 2))),  # two rows at most, the oldest first
        (heads(None, 9, None, 3), TakeHeads((3, 1))),
        (heads(5, 1, 3, shapes="aab"), TakeHeads((1,))),  # the run ends at the other shape
    ],
)
def test_oldest_takes_the_next_in_line(
    waiting: list[Waiting | None], expected: TakeHeads | WaitUntil
) -> None:
    strategy = OldestStrategy(max_candidate_sequences=4)
    assert plan_heads(waiting, 9_000, strategy, 2) == expected


@pytest.mark.parametrize(
    ("now_us", "waiting", "expected"),
    [
        (5, heads(5, None, None, None, None), us(105)),
        (105, heads(5, None, None, None, None), TakeHeads((0,))),
        (5, heads(5, 6, None, None, None), TakeHeads((0, 1))),  # a preferred size
        (5, heads(5, 6, 7, None, None), TakeHeads((0, 1))),  # as many as one, the rest next
        (5, heads(5, 6, 7, 8, None), TakeHeads((0, 1, 2, 3))),
        (5, heads(5, 6, None, None, None, shapes="abaaa"), TakeHeads((0,))),  # cannot grow
    ],
)
def test_oldest_waits_for_a_preferred_size(
    now_us: int, waiting: list[Waiting | None], expected: TakeHeads | WaitUntil
) -> None:
    strategy = OldestStrategy(
        max_candidate_sequences=5, preferred_batch_sizes=(2, 4), max_queue_delay_us=100
    )
    assert plan_heads(waiting, now_us * 1_000, strategy, 4) == expected


def test_oldest_does_not_wait_for_more_than_there_can_be() -> None:
    strategy = OldestStrategy(max_candidate_sequences=2, max_queue_delay_us=100)
    assert plan_heads(heads(5, 6), 6_000, strategy, 8) == TakeHeads((0, 1))
