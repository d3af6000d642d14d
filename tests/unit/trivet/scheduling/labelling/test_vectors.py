"""Vectors that are kept: found again, bounded, and made once for all who wait."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest

from tests.harness.frontend import echo_model
from trivet.scheduling.labelling.vectors import Key, Vectors


def model() -> object:
    return echo_model()


async def make(vectors: Vectors, of: object, key: Key, value: float = 1.0) -> float:
    async def compute() -> np.ndarray:
        return np.full(4, value, np.float32)

    return float((await vectors.shelf([of]).made(key, compute))[0])


async def test_what_was_made_is_at_hand() -> None:
    vectors, one = Vectors(), model()
    assert vectors.shelf([one]).at_hand(("cat", False)) is None
    assert await make(vectors, one, ("cat", False), 1.0) == 1
    assert await make(vectors, one, ("cat", False), 2.0) == 1
    assert vectors.shelf([one]).at_hand(("cat", True)) is None, "it might have been refused"


async def test_a_version_loaded_anew_finds_nothing_of_the_old_one() -> None:
    vectors, old = Vectors(), model()
    await make(vectors, old, ("cat", False))
    assert vectors.shelf([model()]).at_hand(("cat", False)) is None
    del old
    gc.collect()
    assert vectors.shelf([model()]).at_hand(("cat", False)) is None


async def test_what_is_kept_cannot_be_written_to() -> None:
    vectors, one = Vectors(), model()
    await make(vectors, one, ("cat", False))
    kept = vectors.shelf([one]).at_hand(("cat", False))
    assert kept is not None
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 7


async def test_what_is_used_least_goes_first() -> None:
    one = model()
    vectors = Vectors(max_bytes=3 * (16 + 4))  # three vectors with keys of one letter
    for letter in "abc":
        await make(vectors, one, (letter, False))
    vectors.shelf([one]).at_hand(("a", False))
    await make(vectors, one, ("d", False))
    found = [x for x in "abcd" if vectors.shelf([one]).at_hand((x, False)) is not None]
    assert found == ["a", "c", "d"]
    await make(vectors, one, ("x" * 100, False))
    assert len(vectors) == 3, "one that fits nowhere drives nobody out"


async def test_those_who_want_the_same_wait_for_the_first() -> None:
    vectors, one, made = Vectors(), model(), 0
    go = asyncio.Event()

    async def compute() -> np.ndarray:
        nonlocal made
        made += 1
        await go.wait()
        return np.ones(4, np.float32)

    async with asyncio.TaskGroup() as group:
        shelf = vectors.shelf([one])
        tasks = [group.create_task(shelf.made(("cat", False), compute)) for _ in range(5)]
        await asyncio.sleep(0)
        go.set()
    assert made == 1
    assert all(task.result()[0] == 1 for task in tasks)


@pytest.mark.parametrize("way", ["fails", "leaves"])
async def test_nobody_feels_that_the_first_failed_or_left(way: str) -> None:
    vectors, one = Vectors(), model()
    began, go = asyncio.Event(), asyncio.Event()

    async def hang() -> np.ndarray:
        began.set()
        await go.wait()
        raise RuntimeError("this one")

    first = asyncio.create_task(vectors.shelf([one]).made(("cat", False), hang))
    await began.wait()
    second = asyncio.create_task(make(vectors, one, ("cat", False), 3.0))
    await asyncio.sleep(0)
    if way == "leaves":
        first.cancel()
    go.set()
    assert await second == 3
    (ended,) = await asyncio.gather(first, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError if way == "leaves" else RuntimeError)
