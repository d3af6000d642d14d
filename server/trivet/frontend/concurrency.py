"""Answering the messages of a stream at the same time, with a bound on how many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
)
from contextlib import aclosing
from typing import Any

from trivet.errors import Draining
from trivet.frontend.method import Answers
from trivet.frontend.window import Unread, Window
from trivet.scheduling.many import MAX_IN_FLIGHT

# Answers of one call's generators that wait to be written. What a caller does not read stays with
# those who make it, and holds them back.
_UNREAD = 16

# Seconds, of a stream whose server takes leave. What its caller sent before it could know is still
# on its way; a stream that has been quiet for so long has none. One that is never quiet ends, too.
_QUIET_S = 0.1
_NOT_QUIET_S = 1.0

_Answering = asyncio.Task[bytes | None]  # None: its answers have left one by one


async def answer_stream(
    messages: AsyncIterator[bytes],
    answer: Callable[[bytes], Coroutine[Any, Any, bytes] | Answers],
    *,
    in_order: bool,
    draining: asyncio.Event,
    limit: int = MAX_IN_FLIGHT,
    unread: Unread | None = None,
) -> Answers:
    """Answer each message as soon as it comes, while others are still being answered.

    answer: gives a message's one answer, or a generator of any number of them.
    in_order: single answers leave in the order of the messages, else as they are ready; those of a
    generator leave as they come and wait for nobody.
    limit: messages read and not yet answered, fewer where answers are large (`Window`); at the
    limit no more are read, and the transport's flow control holds the caller back. unread: what
    streams hold together.

    Ends when all messages are answered. An exception of `answer` ends the stream with it. When
    `draining` is set, it reads on until the caller is quiet for a moment, answers all that, and
    then raises Draining. Closing the generator cancels what is in flight.
    """
    running: set[_Answering] = set()
    ordered: deque[_Answering] = deque()  # those whose answers have to leave in this order
    ready: asyncio.Queue[_Answering | bytes | None] = asyncio.Queue()
    window = Window(limit, unread)
    room = asyncio.Semaphore(_UNREAD)
    count = 0  # of messages read

    async def pass_on(answers: Answers) -> None:
        async with aclosing(answers):
            async for one in answers:
                await room.acquire()
                ready.put_nowait(one)

    def leave(task: _Answering) -> None:
        if not task.cancelled() and not task.exception() and (made := task.result()):
            window.made(len(made))
        if not in_order:
            ready.put_nowait(task)
        while ordered and ordered[0].done():
            ready.put_nowait(ordered.popleft())

    def start(answering: Coroutine[Any, Any, bytes] | Answers) -> None:
        task: _Answering
        if isinstance(answering, AsyncGenerator):
            task = asyncio.create_task(pass_on(answering))
            task.add_done_callback(ready.put_nowait)
        else:
            task = asyncio.create_task(answering)
            if in_order:
                ordered.append(task)
            task.add_done_callback(leave)
        running.add(task)

    async def read() -> None:
        nonlocal count
        await window.enter()  # before reading: what has been read is answered, come what may
        async for message in messages:
            count += 1
            start(answer(message))
            await window.enter()

    async def end_when_quiet() -> None:
        await draining.wait()
        before, left_s = -1, _NOT_QUIET_S
        while (count != before or window.is_full) and left_s > 0:
            before = count
            await asyncio.sleep(_QUIET_S)
            left_s -= _QUIET_S
        reader.cancel()

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: ready.put_nowait(None))
    drained = asyncio.create_task(end_when_quiet())
    try:
        while running or not reader.done():
            item = await ready.get()
            if isinstance(item, bytes):
                yield item
                room.release()
            elif item is not None:
                one = await item
                if one is not None:
                    yield one
                running.discard(item)
                window.leave(len(one) if one is not None else 0)
        if reader.cancelled():
            raise Draining(
                f"the server is draining; it answered the first {count} of this stream's messages,"
                " reconnect and send the others"
            )
        reader.result()
    finally:
        await _end(reader, drained, *running)
        window.close()


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
