"""Callers who ask one thing after the other until it is over, and note what each came to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from tests.soak.mix import Fate, Job, jobs
from tests.soak.tally import Came, Tally, Wrong
from tests.soak.tasks import TASKS, Ask, Asking
from trivet_client.errors import DeadlineExceeded

PATIENCE_S = 90.0  # of a call that is awaited; reached, it counts as failed


async def work(
    asking: Asking,
    seed: int,
    caller: int,
    tally: Tally,
    over: asyncio.Event,
    tasks: Mapping[str, Ask] = TASKS,
) -> None:
    """Ask what `mix` says until it is over."""
    for job in jobs(seed, caller):
        if over.is_set():
            return
        began = time.perf_counter()
        came, what = await outcome(tasks[job.task], asking, job)
        tally.note(job.task, came, time.perf_counter() - began, f"job {job.number}: {what}")


async def outcome(ask: Ask, asking: Asking, job: Job) -> tuple[Came, str]:
    """Do one job: what it came to, and what is to be said of a fault."""
    try:
        match job.fate:
            case Fate.AWAITED:
                return await ask(asking, job.number, PATIENCE_S), ""
            case Fate.CANCELLED:
                return await _left(ask, asking, job), ""
            case Fate.LATE:
                return await _in_time(ask, asking, job), ""
    except Wrong as wrong:
        return Came.WRONG, str(wrong)
    except Exception as error:  # whatever a client raises: none of it should have been
        return Came.FAILED, f"{job.fate.value}: {type(error).__name__}: {error}"


async def _left(ask: Ask, asking: Asking, job: Job) -> Came:
    """Leave after a moment, unless it was answered by then."""
    asked = asyncio.ensure_future(ask(asking, job.number, PATIENCE_S))
    await asyncio.wait({asked}, timeout=job.patience_s)
    if asked.done():
        return asked.result()
    asked.cancel()
    try:
        return await asked
    except asyncio.CancelledError:
        return Came.CANCELLED


async def _in_time(ask: Ask, asking: Asking, job: Job) -> Came:
    try:
        return await ask(asking, job.number, job.patience_s)
    except DeadlineExceeded:
        return Came.LATE
