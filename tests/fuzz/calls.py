"""Calls of a whole server's methods, without a transport, from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from pathlib import Path

from tests.fuzz.table import whole_table
from trivet.errors import ServeError
from trivet.frontend.method import BidiStream, Methods, ServerStream, Unary

LIMIT_S = 5.0  # a call that takes longer hangs


class Call:
    """A caller without a deadline."""

    time_left_s: float | None = None
    peer = "fuzz"

    def __init__(self, metadata: Mapping[str, str | bytes]) -> None:
        self.metadata = metadata

    def header(self, name: str) -> str | bytes | None:
        return self.metadata.get(name)

    def set_trailers(self, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        pass


class _Server:
    """A server's methods and the loop that they run on."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        self._table = whole_table(Path(self._folder.name))
        self.methods: Methods = self.runner.run(self._table.__aenter__())

    def close(self) -> None:
        self.runner.run(self._table.__aexit__(None, None, None))
        self.runner.close()
        self._folder.cleanup()


@cache
def _server() -> _Server:
    return _Server()


def close() -> None:
    """End the server that calls went to; the next call starts another."""
    if _server.cache_info().currsize:
        _server().close()
        _server.cache_clear()


def _table() -> Methods:
    return _server().methods


def unary_methods() -> list[str]:
    return [name for name, method in sorted(_table().items()) if isinstance(method, Unary)]


def stream_methods() -> list[str]:
    return [name for name, method in sorted(_table().items()) if isinstance(method, BidiStream)]


def call(name: str, message: bytes) -> bytes | ServeError:
    """One call; what is raised but a ServeError, and a ServeError that stands for a bug, is one."""
    method = _table()[name]
    assert isinstance(method, Unary)

    async def answer() -> bytes:
        async with asyncio.timeout(LIMIT_S):
            return await method.handler(message, Call({}))

    try:
        return _server().runner.run(answer())
    except ServeError as error:
        check_told(error)
        return error


def stream(name: str, messages: Sequence[bytes], *, in_band: bool) -> None:
    """One stream of these messages, read to its end.

    in_band: as most clients have it; else a refusal ends a stream of inference.
    """
    method = _table()[name]
    assert isinstance(method, BidiStream | ServerStream)

    async def sent() -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    async def answers() -> int:
        count = 0
        metadata = {} if in_band else {"triton_grpc_error": "true"}
        async with asyncio.timeout(LIMIT_S):
            async with aclosing(method.handler(sent(), Call(metadata))) as stream:  # type: ignore[arg-type]
                async for message in stream:
                    assert b"internal error" not in message
                    count += 1
        return count

    try:
        count = _server().runner.run(answers())
    except ServeError as error:
        check_told(error)
    else:
        assert count == len(messages) or "many" in str(messages), (count, messages)


def check_told(error: ServeError) -> None:
    """A status that a caller can do something with."""
    assert error.message
    assert "internal error" not in error.message, error.message
    assert len(error.message) < 100_000
