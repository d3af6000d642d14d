"""Schedulers whose instances share resources: one runs at a time, and nothing is kept for good."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch, Instance, Rows, Sender
from trivet.config import (
    BatchPolicy,
    InstanceGroup,
    ModelConfig,
    ResourceNeed,
    SequencePolicy,
    TensorSpec,
)
from trivet.config_file import Faults
from trivet.errors import EngineFailed, InstanceDied, Unavailable
from trivet.request import InferRequest, Timings
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.decoupled import PATIENCE_NS, DecoupledScheduler
from trivet.scheduling.executor import Executor
from trivet.scheduling.instances import Instances
from trivet.scheduling.resources import ResourcePool
from trivet.scheduling.sequences.scheduler import SequenceScheduler
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock, settle

SECONDS = 10
POISON, DEADLY, ENDLESS = 13, 666, 1_000

AnyScheduler = BatchScheduler | DecoupledScheduler | SequenceScheduler
KINDS = ("batch", "decoupled", "sequence")


class Machine:
    """What all instances run on: notes how many do at a time."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.order: list[str] = []

    def compute(self, model: str, values: list[int]) -> None:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.order.append(model)
        self.started.release()
        assert self.gate.wait(SECONDS)
        with self.lock:
            self.running -= 1
        if POISON in values:
            raise EngineFailed("thirteen")
        if DEADLY in values:
            raise InstanceDied("of 666")


class Engine:
    def __init__(self, model: str, machine: Machine) -> None:
        self.model, self.machine = model, machine

    def execute(self, batch: Batch) -> Sequence[Answer]:
        values = [int(request.inputs["X"].flat[0]) for request in batch.requests]
        self.machine.compute(self.model, values)
        return [Answer({"Y": request.inputs["X"]}) for request in batch.requests]

    def stream(self, request: Rows, answers: Sender) -> None:
        value = int(request.inputs["X"].flat[0])
        self.machine.compute(self.model, [value])
        for _ in range(ENDLESS if value == ENDLESS else 1):
            answers.send(Answer({"Y": request.inputs["X"]}))

    def close(self) -> None: ...


class Bed:
    """Models of several kinds over one machine, of which each needs all."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.clock = ManualClock()
        self.pool = ResourcePool()
        self.schedulers: list[AnyScheduler] = []

    def model(self, kind: str, name: str, instances: int = 1) -> AnyScheduler:
        need = ResourceNeed(name="MACHINE", count=1)
        config = ModelConfig(
            name=name,
            max_batch_size=1,
            inputs=(TensorSpec(name="X", datatype="INT64", dims=(1,)),),
            outputs=(TensorSpec(name="Y", datatype="INT64", dims=(1,)),),
            instance_groups=(InstanceGroup(count=instances, resources=(need,)),),
            dynamic_batching=BatchPolicy() if kind == "batch" else None,
            sequence_batching=SequencePolicy() if kind == "sequence" else None,
            decoupled=kind == "decoupled",
        )

        async def make(number: int) -> tuple[Instance, Executor]:
            return Engine(name, self.machine), Executor(f"{name}-{number}")

        pairs: list[tuple[Instance, Executor]] = [
            (Engine(name, self.machine), Executor(f"{name}-{n}")) for n in range(instances)
        ]
        permits = self.pool.join(config, Faults())
        posts = Instances(name, 1, self.clock, pairs, make, permits)
        made = self.scheduler(config, posts)
        self.schedulers.append(made)
        return made

    def scheduler(self, config: ModelConfig, posts: Instances) -> AnyScheduler:
        if config.decoupled:
            return DecoupledScheduler(config, 1, posts, Statistics(), self.clock)
        if config.sequence_batching:
            return SequenceScheduler(config, 1, posts, {}, Statistics(), self.clock)
        return BatchScheduler(config, 1, posts, Statistics(), self.clock)

    async def computing(self) -> None:
        """Return when one more batch has started."""
        await settle()
        assert await asyncio.to_thread(self.machine.started.acquire, timeout=SECONDS)


@asynccontextmanager
async def opened() -> AsyncGenerator[Bed, None]:
    bed = Bed()
    async with asyncio.timeout(SECONDS):
        yield bed
        bed.machine.gate.set()
        for scheduler in bed.schedulers:
            await scheduler.close()


async def ask(scheduler: AnyScheduler, value: int, sequence: int = 1) -> int:
    request = InferRequest(
        model="m",
        inputs={"X": np.full((1, 1), value)},
        parameters={"sequence_id": sequence, "sequence_start": True, "sequence_end": True},
    )
    if isinstance(scheduler, DecoupledScheduler):
        answers = [answer async for answer in scheduler.stream(request, Timings())]
        return int(answers[0].outputs["Y"].flat[0])
    return int((await scheduler.infer(request)).outputs["Y"].flat[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
async def test_instances_of_all_models_run_one_at_a_time(kind: str, other: str) -> None:
    async with opened() as bed:
        first, second = bed.model(kind, "a", instances=2), bed.model(other, "b")
        asking = [
            asyncio.create_task(ask(scheduler, number, sequence=number + 1))
            for number in range(6)
            for scheduler in (first, second)
        ]
        await bed.computing()
        bed.machine.gate.set()
        assert sorted(await asyncio.gather(*asking)) == sorted([*range(6), *range(6)])
        assert bed.machine.most == 1
        assert {"a", "b"} == set(bed.machine.order)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fatal", [POISON, DEADLY])
async def test_what_fails_or_dies_gives_back_what_it_held(kind: str, fatal: int) -> None:
    async with opened() as bed:
        bed.machine.gate.set()
        first, second = bed.model(kind, "a"), bed.model("batch", "b")
        with pytest.raises((EngineFailed, Unavailable)):
            await ask(first, fatal)
        assert await ask(second, 5) == 5
        await bed.clock.advance(us=1_000_000)  # a second death is replaced after a pause
        assert await ask(first, 6) == 6


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_that_is_closed_gives_up_what_it_waits_for(kind: str) -> None:
    async with opened() as bed:
        first, second = bed.model("batch", "a"), bed.model(kind, "b")
        third = bed.model("batch", "c")
        asking = asyncio.create_task(ask(first, 1))
        await bed.computing()
        waiting = asyncio.create_task(ask(second, 2))
        last = asyncio.create_task(ask(third, 3))
        await settle()
        waiting.cancel()
        bed.schedulers.remove(second)
        await second.close()
        bed.machine.gate.set()
        assert await asyncio.gather(asking, last) == [1, 3]
        assert bed.machine.order == ["a", "c"]


async def test_a_request_that_leaves_while_its_model_waits_takes_no_turn() -> None:
    async with opened() as bed:
        first, second = bed.model("batch", "a"), bed.model("batch", "b")
        asking = asyncio.create_task(ask(first, 1))
        await bed.computing()
        left = asyncio.create_task(ask(second, 2))
        await settle()
        left.cancel()
        bed.machine.gate.set()
        assert await asking == 1
        assert await ask(first, 3) == 3
        assert bed.machine.order == ["a", "a"]


async def test_who_does_not_read_does_not_keep_resources_from_other_models() -> None:
    async with opened() as bed:
        bed.machine.gate.set()
        talker, other = bed.model("decoupled", "talker"), bed.model("batch", "other")
        assert isinstance(talker, DecoupledScheduler)
        request = InferRequest(model="m", inputs={"X": np.full((1, 1), ENDLESS)})
        answers = talker.stream(request, Timings())
        await anext(answers)
        await bed.computing()
        waiting = asyncio.create_task(ask(other, 5))
        while not waiting.done():
            await bed.clock.advance(us=PATIENCE_NS // 10_000)
            await asyncio.sleep(0)  # the talker's thread fills its buffer meanwhile
        assert await waiting == 5
        with pytest.raises(Unavailable, match="were not read"):
            async for _ in answers:
                pass
