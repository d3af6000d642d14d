"""What a caller notes of a call, whatever its server does."""

from __future__ import annotations

import asyncio
from typing import cast

import grpc
import pytest

from tests.soak.mix import Fate, Job
from tests.soak.tally import TOLD, Came, Tally, Wrong
from tests.soak.tasks import Ask, Asking
from tests.soak.workers import PATIENCE_S, outcome, work
from trivet_client.errors import DeadlineExceeded, Internal

NOBODY = cast(Asking, None)  # these tasks ask nobody
LATE = DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")


def job(fate: Fate, patience_s: float = 0.001) -> Job:
    return Job(task="any", number=5, fate=fate, patience_s=patience_s)


async def right(_: Asking, number: int, timeout_s: float) -> Came:
    assert number == 5
    return Came.RIGHT


async def endless(_: Asking, number: int, timeout_s: float) -> Came:
    await asyncio.Event().wait()
    raise AssertionError


async def late(_: Asking, number: int, timeout_s: float) -> Came:
    raise LATE


async def wrong(_: Asking, number: int, timeout_s: float) -> Came:
    raise Wrong("7 instead of 8")


async def broken(_: Asking, number: int, timeout_s: float) -> Came:
    raise Internal(grpc.StatusCode.INTERNAL, "it broke")


@pytest.mark.parametrize(
    ("ask", "fate", "came"),
    [
        *((right, fate, Came.RIGHT) for fate in Fate),
        *((wrong, fate, Came.WRONG) for fate in Fate),
        *((broken, fate, Came.FAILED) for fate in Fate),
        (endless, Fate.CANCELLED, Came.CANCELLED),
        (late, Fate.LATE, Came.LATE),
        (late, Fate.AWAITED, Came.FAILED),
    ],
)
async def test_a_call_comes_to_what_it_is(ask: Ask, fate: Fate, came: Came) -> None:
    # A moment is long enough for what does not wait, and never for what waits for ever.
    assert (await outcome(ask, NOBODY, job(fate, patience_s=0.05)))[0] is came


async def test_a_deadline_is_handed_on() -> None:
    given = []

    async def noting(_: Asking, number: int, timeout_s: float) -> Came:
        given.append(timeout_s)
        return Came.RIGHT

    for fate in Fate:
        await outcome(noting, NOBODY, job(fate, patience_s=0.5))
    assert given == [PATIENCE_S, PATIENCE_S, 0.5]


async def test_a_caller_asks_until_it_is_over_and_tells_the_first_faults() -> None:
    tally, over = Tally(), asyncio.Event()
    asked = 0

    async def often(_: Asking, number: int, timeout_s: float) -> Came:
        nonlocal asked
        asked += 1
        if asked == 50:
            over.set()
        raise Wrong("again")

    class Every(dict[str, Ask]):
        def __missing__(self, name: str) -> Ask:
            return often

    await work(NOBODY, 1, 1, tally, over, Every())
    assert asked == tally.total() == tally.total(Came.WRONG) == 50
    assert len(tally.faults) == sum(min(counts[Came.WRONG], TOLD) for counts in tally.came.values())
    assert all("again" in fault for fault in tally.faults)
