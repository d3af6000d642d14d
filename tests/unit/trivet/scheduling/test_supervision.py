"""What is decided and told when instances die."""

from __future__ import annotations

import pytest

from trivet.scheduling.supervision import (
    LONGEST_PAUSE_NS,
    PATIENCE,
    WELL,
    Condition,
    Vacancy,
    condition_of,
    pause_ns,
)

DIED = Vacancy("the process ended")
FAILED = Vacancy("the process ended", attempts=1, failed="no memory")
GIVEN_UP = Vacancy("the process ended", attempts=PATIENCE, failed="no memory")


def test_the_first_replacement_is_made_at_once_and_the_next_ones_ever_later_to_a_bound() -> None:
    pauses = [pause_ns(failures) for failures in range(12)]
    assert pauses[:5] == [0, 100_000_000, 200_000_000, 400_000_000, 800_000_000]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pause_ns(10_000) == LONGEST_PAUSE_NS


@pytest.mark.parametrize(
    ("instances", "vacancies", "told"),
    [
        (2, [], WELL),
        (2, [DIED], (True, "1 of 2 instances is being replaced: the process ended")),
        (1, [DIED], (True, "its only instance is being replaced: the process ended")),
        (3, [DIED, DIED], (True, "2 of 3 instances are being replaced: the process ended")),
        (
            3,
            [DIED, FAILED],
            (
                True,
                "2 of 3 instances are being replaced: the process ended;"
                " 1 attempt failed, the last so: no memory",
            ),
        ),
        (
            2,
            [GIVEN_UP],
            (
                True,
                "1 of 2 instances is being replaced: the process ended;"
                " 5 attempts failed, the last so: no memory",
            ),
        ),
        (
            1,
            [GIVEN_UP],
            (
                False,
                "its only instance is being replaced: the process ended;"
                " 5 attempts failed, the last so: no memory",
            ),
        ),
    ],
)
def test_the_condition_says_how_many_and_why(
    instances: int, vacancies: list[Vacancy], told: Condition | tuple[bool, str]
) -> None:
    expected = told if isinstance(told, Condition) else Condition(*told)
    assert condition_of(instances, vacancies) == expected


def test_while_one_of_several_may_soon_be_there_requests_wait_for_it() -> None:
    assert condition_of(2, [GIVEN_UP, FAILED]).able
    assert not condition_of(2, [GIVEN_UP, GIVEN_UP]).able
