"""Answering many requests of one call at the same time, with a bound on how many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from trivet.errors import Unavailable
from trivet.frontend.method import Answers

# In flight per call: enough for the largest batches to form from one caller alone, and a bound on
# what a caller who sends faster than the model answers can make the server hold.
MAX_IN_FLIGHT = 1024

_T = TypeVar("_T")
_R = TypeVar("_R")


async def answer_stream(
    messages: AsyncIterator[bytes],
    answer: Callable[[bytes], Coroutine[Any, Any, bytes]],
    *,
    in_order: bool,
    draining: asyncio.Event,
    limit: int = MAX_IN_FLIGHT,
) -> Answers:
    """Answer each message as soon as it comes, while others are still being answered.

    in_order: answers leave in the order of the messages, else as they are ready.
    limit: messages read and not yet answered; at the limit no more are read, and the transport's
    flow control holds the caller back.

    Ends when all messages are answered. An exception of `answer` ends the stream with it. When
    `draining` is set, what was read is still answered, and then Unavailable is raised. Closing the
    generator cancels what is in flight.
    """
    running: set[asyncio.Task[bytes]] = set()
    ready: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
    free = asyncio.Semaphore(limit)

    async def read() -> None:
        await free.acquire()  # before reading: what has been read is answered, come what may
        async for message in messages:
            task = asyncio.create_task(answer(message))
            running.add(task)
            if in_order:
                ready.put_nowait(task)
            else:
                task.add_done_callback(ready.put_nowait)
            await free.acquire()

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: ready.put_nowait(None))
    drained = asyncio.create_task(draining.wait())
    drained.add_done_callback(lambda _: reader.cancel())
    try:
        while running or not reader.done():
            task = await ready.get()
            if task is None:
                continue
            yield await task
            running.discard(task)
            free.release()
        if reader.cancelled():
            raise Unavailable("the server is draining; all that was sent is answered, reconnect")
        reader.result()
    finally:
        await _end(reader, drained, *running)


async def answer_all(
    items: Sequence[_T],
    answer: Callable[[int, _T], Awaitable[_R]],
    limit: int = MAX_IN_FLIGHT,
) -> None:
    """Call `answer(index, item)` for every item, `limit` at a time, begun in the items' order.

    The first exception cancels the rest and is raised; of several at once, that of the lowest
    index.
    """
    if len(items) == 1:  # the usual call needs no task of its own
        await answer(0, items[0])
        return
    waiting = iter(enumerate(items))
    failed: dict[int, Exception] = {}
    unanswered = len(items)

    async def work() -> None:
        nonlocal unanswered
        for index, item in waiting:
            try:
                await answer(index, item)
            except Exception as error:
                failed[index] = error
                raise
            unanswered -= 1

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(items))):
                group.create_task(work())
    except ExceptionGroup:
        raise failed[min(failed)] from None
    if unanswered:  # a task group takes no notice of a task that someone else cancelled
        raise RuntimeError(f"{unanswered} of {len(items)} were cancelled from inside")


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
