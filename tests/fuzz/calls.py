"""Calls of a whole server's methods, without a transport, from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import atexit
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from pathlib import Path

from tests.fuzz.table import whole_table
from trivet.errors import ServeError
from trivet.frontend.method import BidiStream, Methods, ServerStream, Unary

LIMIT_S = 5.0  # a call that takes longer hangs
_IN_BAND = "Stream"  # methods that answer every message, also one that is refused


class Call:
    """A caller without a deadline."""

    time_left_s: float | None = None
    peer = "fuzz"

    def __init__(self, metadata: Mapping[str, str | bytes]) -> None:
        self.metadata = metadata

    def set_trailers(self, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        pass


@cache
def _runner() -> asyncio.Runner:
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


@cache
def _table() -> Methods:
    folder = tempfile.TemporaryDirectory(prefix="fuzz-")
    context = whole_table(Path(folder.name))
    methods = _runner().run(context.__aenter__())

    def close() -> None:
        _runner().run(context.__aexit__(None, None, None))
        folder.cleanup()

    atexit.register(close)
    return methods


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
        return _runner().run(answer())
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
        count = _runner().run(answers())
    except ServeError as error:
        check_told(error)
    else:
        assert count == len(messages) or "many" in str(messages), (count, messages)


def check_told(error: ServeError) -> None:
    """A status that a caller can do something with."""
    assert error.message
    assert "internal error" not in error.message, error.message
    assert len(error.message) < 100_000
