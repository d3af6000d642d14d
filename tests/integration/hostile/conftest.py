"""Servers that are treated badly: each test on every transport there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.transports import serving_on
from trivet.transport.options import Transport


@pytest.fixture(params=Transport)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """What servers of this process use."""
    if request.param is Transport.H2CORN:
        pytest.importorskip("h2corn")
    with serving_on(request.param) as chosen:
        yield chosen
