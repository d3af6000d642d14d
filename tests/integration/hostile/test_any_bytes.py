"""What `make fuzz` looks for without end, for a moment: any bytes, and good ones made bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import calls
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

A_MOMENT = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    """The server that the targets call is closed in the end."""
    yield
    calls.close()


@cache
def _seeds() -> Mapping[str, Sequence[bytes]]:
    return seeds()


@pytest.mark.parametrize("name", TARGETS)
def test_good_bytes_are_taken(name: str) -> None:
    for seed in _seeds()[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@A_MOMENT
@given(data=st.binary(max_size=200))
def test_any_bytes_are_answered(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@A_MOMENT
@given(data=st.data())
def test_good_bytes_made_bad_are_answered(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(_seeds()[name]))
    TARGETS[name](data.draw(mutated(seed)))
