from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.config import BatchOrder, BatchPolicy
from trivet.scheduling.policy import Take, WaitUntil, plan


@dataclass(frozen=True)
class W:
    """A waiting request, as the policy sees it."""

    length: int = 0
    rows: int = 1
    shape: object = None
    queued_ns: int = 0
    level: int = 0


def lengths(*values: int) -> list[W]:
    return [W(length=value) for value in values]


LENGTH = BatchPolicy(
    order=BatchOrder.LENGTH, max_batch_size=64, max_batch_tokens=256, max_padding_percent=25
)
ARRIVAL = BatchPolicy(order=BatchOrder.ARRIVAL, max_batch_size=8)
EQUAL = BatchPolicy(order=BatchOrder.EQUAL_SHAPES, max_batch_size=8)

CASES = [
    ("nothing waits", [], LENGTH, WaitUntil(None)),
    ("a lone request leaves at once", lengths(20), LENGTH, Take((0,))),
    ("near lengths leave together", lengths(20, 22, 19), LENGTH, Take((0, 1, 2))),
    ("one that would pad too much stays", lengths(20, 120, 21), LENGTH, Take((0, 2))),
    ("the oldest anchors, not the shortest", lengths(120, 20, 118, 21), LENGTH, Take((0, 2))),
    ("the budget counts padding", lengths(64, 64, 64, 64, 64), LENGTH, Take((0, 1, 2, 3))),
    ("an oversize request goes alone", lengths(512, 20), LENGTH, Take((0,))),
    ("a nearer one that does not fit is passed over", lengths(100, 130, 69), LENGTH, Take((0, 2))),
    ("little company is no reason to pad much", lengths(20, 90), LENGTH, Take((0,))),
    (
        "padding is counted over the whole batch",
        lengths(40, 40, 40, 20),
        LENGTH,
        Take((0, 1, 2, 3)),
    ),
    ("rows count, not requests", [W(64, rows=3), W(64, rows=2)], LENGTH, Take((0,))),
    ("in line: padded to the longest", lengths(5, 100, 7), ARRIVAL, Take((0, 1, 2))),
    ("in line: at most the batch size", lengths(*[9] * 9), ARRIVAL, Take(tuple(range(8)))),
    (
        "equal shapes: ends at the first that differs",
        [W(shape=1), W(shape=1), W(shape=2), W(shape=1)],
        EQUAL,
        Take((0, 1)),
    ),
]


@pytest.mark.parametrize(
    ("waiting", "policy", "decision"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_who_leaves_together(
    waiting: list[W], policy: BatchPolicy, decision: Take | WaitUntil
) -> None:
    assert plan(waiting, 0, policy) == decision


DELAYED = BatchPolicy(order=BatchOrder.ARRIVAL, max_batch_size=4, max_queue_delay_us=500)


@pytest.mark.parametrize(
    ("count", "now_us", "decision"),
    [
        (1, 0, WaitUntil(500_000)),
        (1, 499, WaitUntil(500_000)),
        (1, 500, Take((0,))),
        (3, 0, WaitUntil(500_000)),
        (4, 0, Take((0, 1, 2, 3))),
        (5, 0, Take((0, 1, 2, 3))),
    ],
)
def test_an_incomplete_batch_waits_for_company_no_longer_than_its_delay(
    count: int, now_us: int, decision: Take | WaitUntil
) -> None:
    assert plan(lengths(*[1] * count), now_us * 1_000, DELAYED) == decision


def test_a_batch_of_a_preferred_size_does_not_wait() -> None:
    policy = BatchPolicy(
        order=BatchOrder.ARRIVAL,
        max_batch_size=8,
        max_queue_delay_us=500,
        preferred_batch_sizes=(2,),
    )
    assert plan(lengths(1), 0, policy) == WaitUntil(500_000)
    assert plan(lengths(1, 1), 0, policy) == Take((0, 1))


@pytest.mark.parametrize(
    ("rows", "preferred", "now_us", "taken"),
    [
        ([1, 1, 1, 1, 1, 1], (4,), 0, 4),
        ([1, 1, 1, 1, 1, 1], (2, 4), 0, 4),
        ([1, 1, 1, 1, 1], (2, 8), 0, 2),
        ([1, 1, 1, 1, 1, 1], (4,), 500, 6),  # the oldest has waited: as many as fit
        ([1, 1, 1], (4,), 0, None),
        ([1, 1, 1], (4,), 500, 3),
        ([3, 3], (4,), 0, 1),  # the second would go beyond every preferred size
        ([3, 1, 1], (4,), 0, 2),
        ([5, 1], (4,), 0, 1),
        ([5], (4,), 0, 1),
        ([1, 5], (4,), 0, 1),
        ([8, 1], (4,), 0, 1),
        ([1] * 9, (8,), 0, 8),
    ],
)
def test_preferred_sizes_mean_what_they_mean_to_triton(
    rows: list[int], preferred: tuple[int, ...], now_us: int, taken: int | None
) -> None:
    policy = BatchPolicy(max_batch_size=8, max_queue_delay_us=500, preferred_batch_sizes=preferred)
    decision = plan([W(rows=count) for count in rows], now_us * 1_000, policy)
    assert decision == (WaitUntil(500_000) if taken is None else Take(tuple(range(taken))))


@pytest.mark.parametrize(("count", "taken"), [(3, 3), (4, 4), (5, 4), (7, 4)])
def test_without_a_delay_a_preferred_size_is_taken_and_none_is_waited_for(
    count: int, taken: int
) -> None:
    policy = BatchPolicy(max_batch_size=8, preferred_batch_sizes=(4,))
    assert plan([W()] * count, 0, policy) == Take(tuple(range(taken)))


def test_the_nearest_in_length_make_up_the_preferred_size() -> None:
    policy = BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=8, preferred_batch_sizes=(2,))
    assert plan(lengths(20, 90, 21), 0, policy) == Take((0, 2))


def test_a_higher_level_chooses_before_a_lower_one_however_near_that_is() -> None:
    waiting = [W(length=20, level=1), W(length=60, level=1), W(length=20, level=2)]
    policy = BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=2)
    assert plan(waiting, 0, policy) == Take((0, 1))


def test_companions_come_from_the_window_only() -> None:
    policy = BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=64, window=3)
    assert plan(lengths(20, 20, 21, 20, 20), 0, policy) == Take((0, 1, 2))


waiting_requests = st.lists(
    st.builds(W, length=st.integers(1, 512), rows=st.integers(1, 8)), min_size=1, max_size=100
)


@given(waiting_requests, st.integers(1, 64), st.integers(0, 1024), st.sampled_from(BatchOrder))
def test_a_batch_holds_the_oldest_and_keeps_its_budgets(
    waiting: list[W], size: int, tokens: int, order: BatchOrder
) -> None:
    policy = BatchPolicy(order=order, max_batch_size=size, max_batch_tokens=tokens)
    decision = plan(waiting, 0, policy)
    assert isinstance(decision, Take)
    assert decision.positions[0] == 0
    assert list(decision.positions) == sorted(set(decision.positions))
    if len(decision.positions) > 1:
        rows = sum(waiting[position].rows for position in decision.positions)
        longest = max(waiting[position].length for position in decision.positions)
        assert rows <= size
        assert not tokens or rows * longest <= tokens


@given(waiting_requests)
def test_nobody_is_overtaken_for_ever(waiting: list[W]) -> None:
    """The request at position n leaves with the n-th batch at the latest."""
    left = list(enumerate(waiting))
    batch = 0
    while left:
        decision = plan([slot for _, slot in left], 0, LENGTH)
        assert isinstance(decision, Take)
        for position in decision.positions:
            assert left[position][0] >= batch or position == 0
        assert left[0][0] >= batch
        taken = set(decision.positions)
        left = [entry for position, entry in enumerate(left) if position not in taken]
        batch += 1
    assert batch <= len(waiting)
