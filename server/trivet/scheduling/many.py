"""Asking for many things at the same time, with a bound on how many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

# In flight per call: enough for the largest batches to form from one caller alone, and a bound on
# what a caller who sends faster than the model answers can make the server hold.
MAX_IN_FLIGHT = 1024

_T = TypeVar("_T")
_R = TypeVar("_R")


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
