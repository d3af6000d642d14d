"""Who stops waiting stops the work: each test sees the cancellation arrive at the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from tests.unit.client.fake_server import PATIENCE_S, FakeServer
from trivet_client import AsyncClient, Client


async def seen(event: object) -> bool:
    return await asyncio.to_thread(event.wait, PATIENCE_S)  # type: ignore[attr-defined]


async def test_cancelling_the_task_cancels_the_call(server: FakeServer) -> None:
    async with AsyncClient(server.address) as client:
        task = asyncio.create_task(client.embed("hang"))
        assert await seen(server.hanging)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await seen(server.cancelled)


async def test_cancelling_the_task_cancels_the_stream(server: FakeServer) -> None:
    async with AsyncClient(server.address) as client:

        async def read() -> None:
            async for _ in client.embed_stream(["a", "hang"]):
                pass

        task = asyncio.create_task(read())
        assert await seen(server.hanging)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await seen(server.cancelled)


async def test_leaving_a_stream_closes_its_texts_and_cancels_it(server: FakeServer) -> None:
    closed = asyncio.Event()

    async def texts() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "hang"
            while True:
                yield "never answered"
        finally:
            closed.set()

    async with AsyncClient(server.address) as client:
        async with aclosing(client.embed_stream(texts(), in_flight=4)) as stream:
            async for index, _ in stream:
                assert index == 0
                assert await seen(server.hanging)
                break
        assert await seen(server.cancelled)
        await asyncio.wait_for(closed.wait(), PATIENCE_S)


async def test_closing_the_client_ends_what_is_in_flight(server: FakeServer) -> None:
    client = AsyncClient(server.address)
    task = asyncio.create_task(client.embed("hang"))
    assert await seen(server.hanging)
    await client.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await seen(server.cancelled)


def test_closing_the_generator_cancels_the_stream(server: FakeServer) -> None:
    def texts() -> Iterator[str]:
        yield "a"
        yield "hang"
        while True:
            yield "never answered"

    with Client(server.address) as client:
        stream = client.embed_stream(texts(), in_flight=4)
        assert next(stream)[0] == 0
        assert server.hanging.wait(PATIENCE_S)
        stream.close()
        assert server.cancelled.wait(PATIENCE_S)


def test_leaving_the_loop_cancels_the_stream(server: FakeServer) -> None:
    with Client(server.address) as client:
        for index, _ in client.embed_stream(["a", "hang"]):
            assert index == 0
            assert server.hanging.wait(PATIENCE_S)
            break
        assert server.cancelled.wait(PATIENCE_S)


def test_the_client_goes_on_after_a_cancelled_stream(server: FakeServer) -> None:
    with Client(server.address) as client:
        stream = client.embed_stream(["a", "hang"])
        next(stream)
        stream.close()
        assert client.embed("a").vector[0] == 1
