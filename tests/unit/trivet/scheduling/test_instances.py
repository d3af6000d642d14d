"""Several instances of one model: whichever is free takes the next batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest_asyncio

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
    def __init__(self) -> None:
        config = ModelConfig(
            name="m",
            max_batch_size=4,
            inputs=(TensorSpec(name="X", datatype="INT64", dims=(-1,)),),
            dynamic_batching=BatchPolicy(max_batch_size=4),
        )
        self.instances = [Gated(), Gated()]
        pairs = [(gated, Executor(f"m-{n}")) for n, gated in enumerate(self.instances)]
        self.scheduler = BatchScheduler(config, 1, pairs, Statistics(), ManualClock())

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
