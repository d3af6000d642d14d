"""grpc.health.v1: Check and Watch, for the server and for every model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest

from tests.harness.frontend import Served, echo_model, publish, run_server
from trivet_protos.generated.health_pb2 import HealthCheckRequest, HealthCheckResponse
from trivet_protos.generated.health_pb2_grpc import HealthAsyncStub

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN

Watch = grpc.aio.UnaryStreamCall[HealthCheckRequest, HealthCheckResponse]


async def check(served: Served, name: str) -> int:
    answer = await HealthAsyncStub(served.channel).Check(HealthCheckRequest(service=name))
    return answer.status


def watch(served: Served, name: str) -> Watch:
    return HealthAsyncStub(served.channel).Watch(HealthCheckRequest(service=name))


async def told(watching: Watch) -> int:
    answer = await watching.read()
    assert isinstance(answer, HealthCheckResponse)
    return answer.status


async def test_check_tells_the_state_of_the_server_and_of_each_model(server: Served) -> None:
    server.registry.loading("slow", 1)
    assert await check(server, "echo") == SERVING
    assert await check(server, "slow") == NOT_SERVING
    assert await check(server, "") == NOT_SERVING
    publish(server.registry, echo_model("slow"))
    assert await check(server, "slow") == SERVING
    assert await check(server, "") == SERVING


async def test_check_of_an_unknown_name_is_not_found(server: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await check(server, "nobody")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert "'nobody'" in (refused.value.details() or "")


async def test_watch_tells_every_change_of_a_model(server: Served) -> None:
    watching = watch(server, "late")
    assert await told(watching) == SERVICE_UNKNOWN
    server.registry.loading("late", 1)
    assert await told(watching) == NOT_SERVING
    publish(server.registry, echo_model("late"))
    assert await told(watching) == SERVING
    await server.registry.retire("late", 1)
    assert await told(watching) == NOT_SERVING
    watching.cancel()


async def test_watch_tells_nothing_while_nothing_changes_for_it(server: Served) -> None:
    watching = watch(server, "echo")
    assert await told(watching) == SERVING
    server.registry.loading("other", 1)
    server.registry.failed("other", 1, "broken")
    await server.registry.retire("echo", 1)
    assert await told(watching) == NOT_SERVING
    watching.cancel()


async def test_a_draining_server_serves_nothing_and_lets_its_watchers_go(server: Served) -> None:
    watching = [watch(server, name) for name in ("", "echo")]
    assert [await told(w) for w in watching] == [SERVING, SERVING]
    server.draining.set()
    assert [await told(w) for w in watching] == [NOT_SERVING, NOT_SERVING]
    assert [await w.read() for w in watching] == [grpc.aio.EOF, grpc.aio.EOF]
    assert [await check(server, name) for name in ("", "echo")] == [NOT_SERVING, NOT_SERVING]


async def test_a_watcher_that_leaves_is_forgotten_without_a_word(quiet: Callable[[], None]) -> None:
    async with run_server(echo_model()) as served:
        before = len(asyncio.all_tasks())
        watching = watch(served, "echo")
        assert await told(watching) == SERVING
        watching.cancel()
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0)
    quiet()
