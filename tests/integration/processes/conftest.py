"""Each test runs on each transport, and leaves no process behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness.processes import children_of
from tests.harness.transports import serving_on
from trivet.transport.options import Transport


@pytest.fixture(autouse=True, params=Transport)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Every test runs on every transport, and finds no difference."""
    if request.param is Transport.H2CORN:
        pytest.importorskip("h2corn")
    with serving_on(request.param, processes=2) as chosen:
        yield chosen


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    before = children_of(os.getpid())
    yield
    assert children_of(os.getpid()) == before
