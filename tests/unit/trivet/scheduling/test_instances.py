"""Several instances of one model: whichever is free takes the next batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from functools import partial

import numpy as np
import pytest_asyncio

from tests.harness.instances import irreplaceable
from trivet.backend.contract import Answer, Batch
from trivet.config import BatchPolicy, ModelConfig, TensorSpec
from trivet.errors import EngineFailed
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.executor import Executor
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock, settle


class Gated:
    """Echoes when its gate is open; notes what it was given."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.seen: list[list[int]] = []
        self.closed = 0

    def execute(self, batch: Batch) -> Sequence[Answer]:
        arrays = [request.inputs["X"] for request in batch.requests]
        self.seen.append([int(array[0, 0]) for array in arrays])
        self.started.release()
        assert self.gate.wait(10)
        if any((array == 13).any() for array in arrays):
            raise RuntimeError("thirteen")
        return [Answer({"Y": array}) for array in arrays]

    def close(self) -> None:
        self.closed += 1


class Bed:
    def __init__(self, *, preserve_ordering: bool = False) -> None:
        config = ModelConfig(
            name="m",
            max_batch_size=4,
            inputs=(TensorSpec(name="X", datatype="INT64", dims=(-1,)),),
            dynamic_batching=BatchPolicy(max_batch_size=4, preserve_ordering=preserve_ordering),
        )
        self.instances = [Gated(), Gated()]
        pairs = [(gated, Executor(f"m-{n}")) for n, gated in enumerate(self.instances)]
        self.scheduler = BatchScheduler(
            config, 1, irreplaceable(pairs), Statistics(), ManualClock()
        )

    def ask(self, value: int) -> asyncio.Task[InferResponse]:
        inputs = {"X": np.full((1, 2), value)}
        return asyncio.create_task(self.scheduler.infer(InferRequest(model="m", inputs=inputs)))

    async def busy(self) -> list[asyncio.Task[InferResponse]]:
        """Both instances at work, on requests 0 and 1."""
        tasks = []
        for number in range(2):
            tasks.append(self.ask(number))
            await settle()
        for gated in self.instances:
            assert await asyncio.to_thread(gated.started.acquire, timeout=10)
        return tasks


@pytest_asyncio.fixture
async def bed() -> AsyncIterator[Bed]:
    made = Bed()
    yield made
    for gated in made.instances:
        gated.gate.set()
    await made.scheduler.close()
    assert [gated.closed for gated in made.instances] == [1, 1]


async def test_two_batches_run_at_the_same_time(bed: Bed) -> None:
    first, second = await bed.busy()
    assert sorted(gated.seen[0] for gated in bed.instances) == [[0], [1]]
    bed.instances[1].gate.set()  # the later one may well be done first
    later = second if bed.instances[1].seen == [[1]] else first
    await later
    assert not (first if later is second else second).done()


async def test_what_waits_goes_to_the_instance_that_is_free_first(bed: Bed) -> None:
    await bed.busy()
    waiting = [bed.ask(number) for number in (5, 6, 7)]
    await settle()
    bed.instances[1].gate.set()
    answers = await asyncio.gather(*waiting)
    assert [answer.outputs["Y"].tolist() for answer in answers] == [[[n, n]] for n in (5, 6, 7)]
    assert bed.instances[1].seen[1:] == [[5, 6, 7]]
    assert len(bed.instances[0].seen) == 1


async def test_a_failure_in_one_instance_is_none_of_the_others(bed: Bed) -> None:
    await bed.busy()
    waiting = [bed.ask(number) for number in (5, 13, 6, 7, 8)]  # more than one batch holds
    await settle()
    for gated in bed.instances:
        gated.gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[1], EngineFailed)
    told = [answer.outputs["Y"][0, 0] for answer in answers if isinstance(answer, InferResponse)]
    assert told == [5, 6, 7, 8]


@pytest_asyncio.fixture
async def orderly() -> AsyncIterator[Bed]:
    made = Bed(preserve_ordering=True)
    yield made
    for gated in made.instances:
        gated.gate.set()
    await made.scheduler.close()


async def run_second_first(bed: Bed) -> list[asyncio.Task[InferResponse]]:
    """Two requests at work, of which the later one has been computed; earlier one, later one."""
    tasks = await bed.busy()
    late = next(gated for gated in bed.instances if gated.seen == [[1]])
    late.gate.set()
    bed.instances.remove(late)
    tasks.append(bed.ask(2))
    assert await asyncio.to_thread(late.started.acquire, timeout=10)
    await settle()
    bed.instances.append(late)
    return tasks


def _note(answered: list[int], number: int, _: object) -> None:
    answered.append(number)


async def test_an_answer_waits_for_those_of_earlier_requests(orderly: Bed) -> None:
    answered: list[int] = []
    tasks = await run_second_first(orderly)
    for number, task in enumerate(tasks):
        task.add_done_callback(partial(_note, answered, number))
    await settle()
    assert answered == []
    for gated in orderly.instances:
        gated.gate.set()
    await asyncio.gather(*tasks)
    assert answered == [0, 1, 2]


async def test_a_caller_who_leaves_holds_nobody_up(orderly: Bed) -> None:
    first, second, third = await run_second_first(orderly)
    first.cancel()
    answers = await asyncio.wait_for(asyncio.gather(second, third), 10)
    assert [int(answer.outputs["Y"][0, 0]) for answer in answers] == [1, 2]


async def test_an_error_waits_for_its_turn_like_an_answer(orderly: Bed) -> None:
    first, *_ = await orderly.busy()
    late = next(gated for gated in orderly.instances if gated.seen == [[1]])
    late.gate.set()
    failing = orderly.ask(13)
    assert await asyncio.to_thread(late.started.acquire, timeout=10)
    await settle()
    assert not failing.done()
    for gated in orderly.instances:
        gated.gate.set()
    await first
    outcome = await asyncio.gather(failing, return_exceptions=True)
    assert isinstance(outcome[0], EngineFailed)
