"""How long a request may wait and which level it is of: tables of cases."""

from __future__ import annotations

import pytest

from trivet.config import Priorities, QueuePolicy
from trivet.request import ParameterValue
from trivet.scheduling.deadlines import NEVER, expiry_ns, has_expired, level_of, timeout_us

THREE = Priorities(levels=3, default_level=2)


@pytest.mark.parametrize(
    ("asked", "level"), [(None, 2), (0, 2), (1, 1), (2, 2), (3, 3), (4, 2), (-1, 2), (True, 2)]
)
def test_a_request_is_of_the_level_it_names_or_of_the_default_one(
    asked: ParameterValue | None, level: int
) -> None:
    parameters = {} if asked is None else {"priority": asked}
    assert level_of(parameters, THREE) == level


def test_without_levels_priority_means_nothing() -> None:
    assert level_of({"priority": 1}, Priorities()) == 0


@pytest.mark.parametrize(
    ("default_us", "override", "asked_us", "allowed_us"),
    [
        (0, False, None, 0),
        (500, False, None, 500),
        (500, False, 100, 500),
        (500, True, None, 500),
        (500, True, 0, 500),
        (500, True, 100, 100),
        (500, True, 900, 500),
        (0, True, 100, 100),
        (0, False, 100, 0),
        (500, True, -7, 500),
    ],
)
def test_a_request_may_only_shorten_its_timeout_and_only_if_the_policy_lets_it(
    default_us: int, override: bool, asked_us: int | None, allowed_us: int
) -> None:
    policy = QueuePolicy(timeout_us=default_us, allow_timeout_override=override)
    parameters = {} if asked_us is None else {"timeout": asked_us}
    assert timeout_us(parameters, policy) == allowed_us


def test_a_timeout_expires_when_it_has_been_waited_to_the_end() -> None:
    expires_ns = expiry_ns(1_000, {}, QueuePolicy(timeout_us=5))
    assert expires_ns == 6_000
    assert not has_expired(expires_ns, 5_999)
    assert has_expired(expires_ns, 6_000)
    assert not has_expired(expiry_ns(1_000, {}, QueuePolicy()), 1 << 62)
    assert expiry_ns(1_000, {}, QueuePolicy()) == NEVER
