"""`trivet serve --frontend-processes 2`: a stop loses nothing, and nobody is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.harness.processes import children_of, is_running
from tests.harness.repositories import add_model
from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from trivet.transport.options import Transport
from trivet_client import AsyncClient
from trivet_client.errors import Unavailable

CALLERS = 16


@pytest.fixture(params=Transport)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    add_model(tmp_path / "models", "echo")
    with (
        serving_on(request.param, processes=2),
        serving(tmp_path / "models", log=tmp_path / "stderr.log") as started,
    ):
        yield started


async def test_a_stop_under_load_loses_nothing(server: ServerProcess, tmp_path: Path) -> None:
    """A supervisor's signal reaches all processes of the group."""
    children = children_of(server.process.pid)
    assert len(children) == 2
    enough, answers = asyncio.Event(), 0

    async def ask_on(caller: int) -> None:
        nonlocal answers
        array = np.full((1, caller + 1), caller, np.float32)
        async with AsyncClient(server.address) as client:
            with pytest.raises(Unavailable, match="no server answers"):
                while True:
                    result = await client.infer("echo", {"IN": array}, timeout_s=20)
                    np.testing.assert_array_equal(result.outputs["OUT"], array)
                    answers += 1
                    if answers == 20 * CALLERS:
                        enough.set()

    async with asyncio.TaskGroup() as callers:
        for caller in range(CALLERS):
            callers.create_task(ask_on(caller))
        await enough.wait()
        for pid in (*children, server.process.pid):
            os.kill(pid, signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, 30) == 0
    assert not any(map(is_running, children))
    log = (tmp_path / "stderr.log").read_text()
    assert "ERROR" not in log
    assert "Traceback" not in log


async def test_nobody_outlives_the_owner(server: ServerProcess) -> None:
    children = children_of(server.process.pid)
    assert len(children) == 2
    server.process.kill()
    async with asyncio.timeout(20):
        while any(map(is_running, children)):
            await asyncio.sleep(0.01)
