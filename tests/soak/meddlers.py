"""What goes on beside the callers: each meddler does the same again and again, at its own pace."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tests.soak import hostile
from tests.soak.changes import ByCalls, ByFiles
from tests.soak.hostile import Surroundings
from tests.soak.tally import Came, Tally, Wrong

LONGEST_S = 120.0  # that anything may take; what takes longer hangs, and counts as failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Meddler:
    """pause_s: between the end of one time and the next, on the average."""

    act: Callable[[random.Random], Awaitable[None]]
    pause_s: float


def meddlers(around: Surroundings, changing: ByCalls | ByFiles) -> Mapping[str, Meddler]:
    """All of them, by name."""
    return {
        "change": Meddler(act=changing.change, pause_s=3),
        "come and go": Meddler(act=changing.come_and_go, pause_s=2),
        "break off": Meddler(act=partial(hostile.break_off, around), pause_s=0.5),
        "cut off": Meddler(act=partial(hostile.cut_off, around), pause_s=2),
        "leave unread": Meddler(act=partial(hostile.leave_unread, around), pause_s=3),
        "burst": Meddler(act=partial(hostile.burst, around), pause_s=2),
        "look": Meddler(act=partial(hostile.look, around), pause_s=3),
    }


async def meddle(name: str, meddler: Meddler, seed: int, tally: Tally, over: asyncio.Event) -> None:
    """Until it is over."""
    rng = random.Random(f"{seed}/{name}")
    while not over.is_set():
        began = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_S):
                await meddler.act(rng)
        except Wrong as wrong:
            tally.note(name, Came.WRONG, 0, str(wrong))
        except Exception as error:  # whatever a client raises: none of it should have been
            tally.note(name, Came.FAILED, 0, f"{type(error).__name__}: {error}")
        else:
            tally.note(name, Came.RIGHT, time.perf_counter() - began)
        pause_s = rng.uniform(0.5, 1.5) * meddler.pause_s
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), pause_s)
