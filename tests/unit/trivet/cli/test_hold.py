"""TRITONSERVER_DELAY_SCHEDULER: what existing test suites set to fix how batches form."""

from __future__ import annotations

import pytest

from trivet.cli.serve import _hold_until
from trivet.errors import InvalidConfig

NAME = "TRITONSERVER_DELAY_SCHEDULER"


@pytest.mark.parametrize(("written", "held"), [({}, 0), ({NAME: ""}, 0), ({NAME: "12"}, 12)])
def test_the_environment_says_how_many_requests_are_waited_for(
    written: dict[str, str], held: int
) -> None:
    assert _hold_until(written) == held


@pytest.mark.parametrize("wrong", ["many", "-1", "1.5", "²"])
def test_anything_but_a_whole_number_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(InvalidConfig, match=f"environment: {NAME}: '{wrong}' is no whole number"):
        _hold_until({NAME: wrong})
