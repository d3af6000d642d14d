"""`trivet serve` with more to do than it takes: limits of flags and configs, and what is told."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from trivet.transport.options import Transport
from trivet_client import AsyncClient, Failure, InferRequest
from trivet_client.errors import Unavailable

ENDLESS = np.ones((1, 600_000), np.float32)  # ten minutes in the model "slow"
QUICK = np.ones((1, 1), np.float32)


@pytest.fixture(autouse=True, params=Transport)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """No transport knows of limits."""
    with serving_on(request.param) as chosen:
        yield chosen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """It takes three requests at a time, and the pipeline "late" two of them."""
    add_model(tmp_path, "seen")
    add_model(tmp_path, "slow", fake_config(batching="", delay_us_per_token=1000))
    bound = 'parameters { key: "max_inflight_requests" value { string_value: "2" } }'
    add_model(tmp_path, "late", pipeline_config(["seen", "slow"]) + bound)
    flags = ("--max-inflight-requests=3", "--metrics-port=0")
    with serving(tmp_path, *flags) as server:
        yield server
        server.process.kill()  # the engine would go on for ten minutes


async def under_way(client: AsyncClient, count: int) -> None:
    """Wait until so many requests have passed the first step, and so wait for the second."""
    async with asyncio.timeout(20):
        while (await client.statistics("seen"))[0].inference_count < count:
            await asyncio.sleep(0.01)


def rejected(server: ServerProcess, model: str) -> int:
    """What /metrics tells."""
    with urllib.request.urlopen(f"{server.metrics}", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    name = f'nv_inference_request_failure{{model="{model}",reason="REJECTED",version="1"}}'
    found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)]
    assert len(found) == 1, [line for line in lines if "REJECTED" in line]
    return int(found[0])


async def test_each_limit_refuses_what_exceeds_it_and_nothing_else(server: ServerProcess) -> None:
    async def ask(client: AsyncClient) -> None:
        await client.infer("late", {"IN": ENDLESS})

    async def ask_until_let_in(client: AsyncClient) -> None:
        while True:
            with suppress(Unavailable):
                await client.infer("slow", {"IN": ENDLESS})

    async def one() -> AsyncIterator[InferRequest]:
        yield InferRequest(model="late", inputs={"IN": QUICK})

    async with AsyncClient(server.address) as client:
        asked = [asyncio.create_task(ask(client)) for _ in range(2)]
        await under_way(client, 2)
        with pytest.raises(Unavailable, match="'late': it has 2 requests under way") as full:
            await client.infer("late", {"IN": QUICK})
        assert full.value.retry_after_s
        ((_, told),) = [answer async for answer in client.infer_stream(one())]
        assert isinstance(told, Failure)
        assert "it has 2 requests under way" in str(told)
        for _ in range(3):  # there is room for one of another model
            await client.infer("seen", {"IN": QUICK})
        asked.append(asyncio.create_task(ask_until_let_in(client)))
        with pytest.raises(Unavailable, match="--max-inflight-requests"):
            async with asyncio.timeout(20):
                while True:
                    await client.infer("seen", {"IN": QUICK})
        assert await client.server_ready()
        assert await asyncio.to_thread(rejected, server, "late") == 2
        assert await asyncio.to_thread(rejected, server, "seen") == 1
        for task in asked:
            task.cancel()
        async with asyncio.timeout(20):  # those who left make room
            while True:
                try:
                    await client.infer("seen", {"IN": QUICK})
                    break
                except Unavailable:
                    await asyncio.sleep(0.01)
