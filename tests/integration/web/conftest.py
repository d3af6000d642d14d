"""A server with gRPC-Web, which h2corn alone has, and a look at what it logged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.integration.web.asking import Asking, running


@pytest.fixture(autouse=True)
def _h2corn() -> None:
    pytest.importorskip("h2corn")


@pytest.fixture
async def web() -> AsyncIterator[Asking]:
    async with running() as asking:
        yield asking


@pytest.fixture
def quiet(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Callable[[], None]:
    """Call it when all is over: nothing was logged as an error, nothing told of on stderr."""

    def check() -> None:
        assert [record.getMessage() for record in caplog.records if record.levelno >= 40] == []
        told = capfd.readouterr().err
        assert "Traceback" not in told
        assert "failed" not in told

    return check
