"""Both clients against one small real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.unit.client.fake_server import FakeServer, serving
from trivet_client import AsyncClient, Client


@pytest.fixture(scope="session")
def running_server() -> Iterator[FakeServer]:
    with serving() as server:
        yield server


@pytest.fixture
def server(running_server: FakeServer) -> FakeServer:
    running_server.reset()
    return running_server


class Blocking:
    """AsyncClient with the face of Client, so that one test claims a thing of both."""

    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if isinstance(result, Coroutine):
                return self._loop.run_until_complete(result)
            return self._iterate(result)

        return call

    def _iterate(self, stream: AsyncGenerator[Any, None]) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(anext(stream))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(stream.aclose())


@pytest.fixture(params=["sync", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes a client of either kind; all are closed at the end."""
    loop = asyncio.new_event_loop()
    closes: list[Callable[[], Any]] = []

    def make_async(address: str, options: dict[str, Any]) -> Blocking:
        async def made() -> AsyncClient:
            return AsyncClient(address, **options)

        return Blocking(loop.run_until_complete(made()), loop)

    def make(address: str, **options: Any) -> Any:
        client: Any = (
            Client(address, **options) if request.param == "sync" else make_async(address, options)
        )
        closes.append(client.close)
        return client

    yield make
    for close in closes:
        close()
    loop.close()


@pytest.fixture
def client(connect: Callable[..., Any], server: FakeServer) -> Any:
    return connect(server.address)
