"""Large messages are told of, whichever way they come and go; small ones are not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from trivet.errors import InvalidInput
from trivet.frontend.method import Answers, BidiStream, Call, Methods, Unary
from trivet.transport.freed import LARGE_BYTES, Freed

LARGE, SMALL = bytes(LARGE_BYTES), b"small"
CALL = cast(Call, None)


class Counting(Freed):
    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def large(self) -> None:
        self.told += 1


async def unary(message: bytes, call: Call) -> bytes:
    """Answers with as much as it is told to."""
    if message == b"fail" or len(message) == LARGE_BYTES + 1:
        raise InvalidInput("no")
    return LARGE if message == b"much" else SMALL


async def echoes(messages: AsyncIterator[bytes], call: Call) -> Answers:
    async for message in messages:
        yield message


TABLE: Methods = {"unary": Unary(unary), "stream": BidiStream(echoes)}


@pytest.mark.parametrize(
    ("message", "told"), [(SMALL, 0), (LARGE, 1), (b"much", 1), (b"fail", 0), (LARGE + b"f", 1)]
)
async def test_a_large_message_or_answer_of_one_call(message: bytes, told: int) -> None:
    freed = Counting()
    method = cast(Unary, freed.watching(TABLE)["unary"])
    try:
        await method.handler(message, CALL)
    except InvalidInput:
        assert message[-1:] in (b"l", b"f") or message == b"fail"
    assert freed.told == told


async def test_each_large_message_and_answer_of_a_stream() -> None:
    freed = Counting()
    method = cast(BidiStream, freed.watching(TABLE)["stream"])

    async def sent() -> AsyncIterator[bytes]:
        for message in (SMALL, LARGE, SMALL, LARGE):
            yield message

    answers = [answer async for answer in method.handler(sent(), CALL)]
    assert [len(answer) for answer in answers] == [5, LARGE_BYTES, 5, LARGE_BYTES]
    assert freed.told == 4


async def test_memory_is_given_back_a_while_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage in cycles first: what grpc leaves of a refused call is in one."""
    trimmed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def trim(_: Any) -> int:
        loop.call_soon_threadsafe(trimmed.set)
        return 1

    monkeypatch.setattr("trivet.transport.freed._libc_trim", trim)
    monkeypatch.setattr("trivet.transport.freed._LATER_S", (0.0, 1000.0))
    cycles = gc.get_stats()[1]["collections"]
    freed = Freed()
    freed.large()
    freed.large()
    await asyncio.wait_for(trimmed.wait(), 10)
    assert gc.get_stats()[1]["collections"] > cycles
    freed.close()
