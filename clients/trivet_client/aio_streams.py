"""Bidirectional streams for callers on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing, suppress
from typing import Any

import grpc
import grpc.aio

from trivet_client.aio_status import Ending
from trivet_client.errors import error_from_status, retry_after_s
from trivet_client.streaming import (
    Answer,
    Dialect,
    Item,
    Outstanding,
    Request,
    Response,
    check_in_flight,
)


async def exchange(
    open_call: Callable[[], grpc.aio.StreamStreamCall[Request, Response]],
    items: Iterable[Item] | AsyncIterable[Item],
    dialect: Dialect[Item, Request, Response, Answer],
    in_flight: int,
    address: str,
) -> AsyncGenerator[tuple[int, Answer], None]:
    """Send every item, yield (index of the item, answer) as answers come.

    What `items` raises is raised here, after the answers to the items before it. Closing the
    generator, or cancelling the task that reads it, cancels the call.
    """
    check_in_flight(in_flight)
    outstanding = Outstanding()
    free = asyncio.Semaphore(in_flight)
    call = open_call()
    ending = Ending(call)
    sender = asyncio.create_task(_send(call, items, dialect, outstanding, free))
    try:
        async with aclosing(_responses(call, ending, address)) as responses:
            async for response in responses:
                reply = dialect.reply(response)
                index = outstanding.answered(reply)
                if reply.final:
                    free.release()
                yield index, reply.answer
        await _stopped(sender)  # raises what the items raised
        outstanding.check_complete()
    finally:
        call.cancel()
        with suppress(Exception):  # reported above, or outweighed by what is being raised
            await _stopped(sender)


async def _send(
    call: grpc.aio.StreamStreamCall[Request, Response],
    items: Iterable[Item] | AsyncIterable[Item],
    dialect: Dialect[Item, Request, Response, Answer],
    outstanding: Outstanding,
    free: asyncio.Semaphore,
) -> None:
    """Write items as answers make room, then say that there are no more, whatever happened."""
    index = 0
    try:
        await free.acquire()
        async for item in _each(items):
            request_id, request = dialect.request(item, index)
            outstanding.add(request_id, index)
            index += 1
            await _unless_over(call.write(request))
            await free.acquire()
        outstanding.all_sent()
    finally:
        await _unless_over(call.done_writing())


async def _unless_over(writing: Any) -> None:
    """Write; where the call is over already, its status is the reader's to report."""
    with suppress(grpc.RpcError, asyncio.InvalidStateError):
        await writing


async def _responses(
    call: grpc.aio.StreamStreamCall[Request, Response], ending: Ending, address: str
) -> AsyncGenerator[Response, None]:
    """Every response, then the error behind the server's status, if it is one."""
    try:
        # Not call.read(): once a write has failed it drops the answers that wait to be read.
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as error:
        code, message = await ending.status(error)
        if code is not grpc.StatusCode.OK:
            told = retry_after_s(error.trailing_metadata())
            raise error_from_status(code, message, address, told) from error


async def _stopped(sender: asyncio.Task[None]) -> None:
    """Stop the sender and wait for it. Raises what it raised."""
    sender.cancel()
    await asyncio.wait([sender])
    if not sender.cancelled():
        sender.result()


async def _each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
