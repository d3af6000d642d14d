"""A server over one echo model, and a look at what it logged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.harness.frontend import Served, echo_model, run_server
from tests.harness.transports import serving_on
from trivet.transport.options import Transport


@pytest.fixture(autouse=True)
def _on_transport(transport: Transport) -> Iterator[None]:
    """Every test runs on every transport, and finds no difference."""
    with serving_on(transport):
        yield


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    """A server over the model "echo"."""
    async with run_server(echo_model()) as served:
        yield served


@pytest.fixture
def quiet(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Callable[[], None]:
    """Call it when all is over: nothing was logged as an error, no traceback printed."""

    def check() -> None:
        assert [record.getMessage() for record in caplog.records if record.levelno >= 40] == []
        assert "Traceback" not in capfd.readouterr().err

    return check
