"""Servers that are treated badly: each test on every transport there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


@pytest.fixture
def quiet(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Callable[[], None]:
    """Call it when all is over: no bug was logged, no traceback printed."""

    def check() -> None:
        assert not [r for r in caplog.records if r.getMessage() == "internal_error"]
        assert "Traceback" not in capfd.readouterr().err

    return check
