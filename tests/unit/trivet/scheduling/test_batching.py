"""The queue and its drivers, on a real executor thread and an instance under the test's control."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
import pytest_asyncio

from tests.harness.instances import irreplaceable
from trivet.backend.contract import Answer, Batch
from trivet.config import BatchOrder, BatchPolicy, ModelConfig, QueuePolicy, TensorSpec
from trivet.errors import EngineFailed, InvalidInput, QueueFull, ServeError
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.executor import Executor
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock, settle

BY_LENGTH = BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=64, max_batch_tokens=256)


class GatedEcho:
    """Answers each request with its own input, when the gate is open; remembers its batches.

    A 13 fails the batch, a 7 gets an error of its own.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.closed = 0

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        self.threads.add(threading.get_ident())
        self.batches.append([request.inputs["X"].shape[1] for request in batch.requests])
        self.started.release()
        assert self.gate.wait(10)
        arrays = [request.inputs["X"] for request in batch.requests]
        if any((array == 13).any() for array in arrays):
            raise RuntimeError("thirteen, at /secret/path")
        return [
            InvalidInput("seven is refused") if (array == 7).any() else Answer({"Y": array})
            for array in arrays
        ]

    def close(self) -> None:
        self.closed += 1


class QuickEcho(GatedEcho):
    """Calls single requests quick."""

    def is_quick(self, batch: Batch) -> bool:
        return len(batch.requests) == 1


class RustPanic(BaseException):
    """What an engine in Rust raises when it gives up; no Exception."""


class Panicking(QuickEcho):
    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        raise RustPanic("index out of bounds")


class Bed:
    """A scheduler over one instance."""

    def __init__(
        self,
        policy: BatchPolicy | None,
        max_queue_size: int = 0,
        instance: GatedEcho | None = None,
        hold_until: int = 0,
    ) -> None:
        spec = TensorSpec(name="X", datatype="INT64", dims=(-1,))
        self.config = ModelConfig(
            name="echo",
            max_batch_size=64,
            inputs=(spec,),
            dynamic_batching=policy,
            queue_policy=QueuePolicy(max_size=max_queue_size),
        )
        self.clock = ManualClock()
        self.statistics = Statistics()
        self.instance = instance or GatedEcho()
        self.scheduler = BatchScheduler(
            self.config,
            1,
            irreplaceable([(self.instance, Executor("echo-0"))]),
            self.statistics,
            self.clock,
            hold_until,
        )

    def ask(self, length: int, value: int = 1, rows: int = 1) -> asyncio.Task[InferResponse]:
        inputs = {"X": np.full((rows, length), value, dtype=np.int64)}
        return asyncio.create_task(self.scheduler.infer(InferRequest(model="echo", inputs=inputs)))

    async def busy(self) -> asyncio.Task[InferResponse]:
        """Keep the instance at work on a request of length 1 until its gate is opened."""
        self.instance.gate.clear()
        task = self.ask(1)
        await asyncio.to_thread(self.instance.started.acquire)
        return task


@pytest_asyncio.fixture
async def bed() -> AsyncIterator[Bed]:
    made = Bed(BY_LENGTH)
    yield made
    made.instance.gate.set()
    await made.scheduler.close()
    assert made.instance.closed == 1


async def test_requests_that_wait_together_leave_by_length_and_each_gets_its_own(bed: Bed) -> None:
    first = await bed.busy()
    tasks = {length: bed.ask(length, value=length) for length in (100, 20, 101, 21, 22)}
    await settle()
    bed.instance.gate.set()
    await first
    for length, task in tasks.items():
        answer = (await task).outputs["Y"]
        assert answer.shape == (1, length)
        assert (answer == length).all()
    assert bed.instance.batches == [[1], [100, 101], [20, 21, 22]]


async def test_one_thread_owns_the_instance(bed: Bed) -> None:
    await asyncio.gather(*(bed.ask(length) for length in range(1, 40)))
    assert len(bed.instance.threads) == 1
    assert threading.get_ident() not in bed.instance.threads


async def test_a_caller_who_leaves_takes_its_queued_work_out(bed: Bed) -> None:
    first = await bed.busy()
    leaving, staying = bed.ask(50), bed.ask(51)
    await settle()
    leaving.cancel()
    await settle()
    bed.instance.gate.set()
    await asyncio.gather(first, staying)
    assert bed.instance.batches == [[1], [51]]
    assert leaving.cancelled()


async def test_a_caller_who_leaves_a_running_batch_harms_nobody(bed: Bed) -> None:
    first = await bed.busy()
    leaving, staying = bed.ask(50), bed.ask(51)
    await settle()
    bed.instance.gate.set()
    await first
    await asyncio.to_thread(bed.instance.started.acquire)
    leaving.cancel()
    assert (await staying).outputs["Y"].shape == (1, 51)
    assert (await bed.ask(5)).outputs["Y"].shape == (1, 5)


async def test_only_the_guilty_request_of_a_failed_batch_fails(bed: Bed) -> None:
    first = await bed.busy()
    tasks = [bed.ask(20), bed.ask(20, value=13), bed.ask(20)]
    await settle()
    bed.instance.gate.set()
    await first
    good, bad, fine = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(good, InferResponse)
    assert isinstance(fine, InferResponse)
    assert isinstance(bad, EngineFailed)
    assert "model 'echo' version 1" in bad.message
    assert "/secret" not in bad.message
    assert bed.instance.batches == [[1], [20, 20, 20], [20], [20], [20]]


async def test_an_error_for_one_request_needs_no_second_try(bed: Bed) -> None:
    first = await bed.busy()
    tasks = [bed.ask(20), bed.ask(20, value=7)]
    await settle()
    bed.instance.gate.set()
    await first
    good, bad = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(good, InferResponse)
    assert isinstance(bad, InvalidInput)
    assert bed.instance.batches == [[1], [20, 20]]


async def test_a_full_queue_answers_at_once() -> None:
    bed = Bed(BY_LENGTH, max_queue_size=2)
    first = await bed.busy()
    waiting = [bed.ask(5), bed.ask(5)]
    await settle()
    with pytest.raises(QueueFull, match="exceeds maximum queue size of 2 requests"):
        await bed.ask(5)
    bed.instance.gate.set()
    await asyncio.gather(first, *waiting)
    await bed.scheduler.close()


async def test_without_a_batch_policy_every_request_runs_alone() -> None:
    bed = Bed(None)
    first = await bed.busy()
    tasks = [bed.ask(5) for _ in range(3)]
    await settle()
    bed.instance.gate.set()
    await asyncio.gather(first, *tasks)
    assert bed.instance.batches == [[1], [5], [5], [5]]
    await bed.scheduler.close()


async def test_an_incomplete_batch_leaves_when_its_delay_is_over() -> None:
    bed = Bed(BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=8, max_queue_delay_us=500))
    tasks = [bed.ask(5), bed.ask(5)]
    await settle()
    await bed.clock.advance(us=499)
    assert bed.instance.batches == []
    await bed.clock.advance(us=1)
    await asyncio.gather(*tasks)
    assert bed.instance.batches == [[5, 5]]
    await bed.scheduler.close()


async def test_rows_batches_and_padding_are_counted(bed: Bed) -> None:
    first = await bed.busy()
    tasks = [bed.ask(10, rows=2), bed.ask(12)]
    await settle()
    bed.instance.gate.set()
    await asyncio.gather(first, *tasks)
    assert bed.statistics.execution_count == 2
    assert {rows: batch.compute_infer.count for rows, batch in bed.statistics.batches.items()} == {
        1: 1,
        3: 1,
    }
    assert bed.statistics.tokens == 1 + 2 * 10 + 12
    assert bed.statistics.padding_tokens == 2 * 2


async def test_a_quick_batch_runs_on_the_loop_and_the_others_in_their_thread() -> None:
    bed = Bed(BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=8), instance=QuickEcho())
    assert (await bed.ask(5)).outputs["Y"].shape == (1, 5)
    assert bed.instance.threads == {threading.get_ident()}
    await asyncio.gather(bed.ask(5), bed.ask(5))
    assert bed.instance.batches == [[5], [5, 5]]
    assert len(bed.instance.threads) == 2
    await bed.scheduler.close()


async def test_many_quick_batches_in_a_row_do_not_keep_the_loop() -> None:
    bed = Bed(None, instance=QuickEcho())
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while len(bed.instance.batches) < 20:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await asyncio.gather(*(bed.ask(5) for _ in range(20)), counting)
    assert turns >= 10
    await bed.scheduler.close()


async def test_whatever_a_quick_batch_raises_fails_only_its_request() -> None:
    bed = Bed(None, instance=Panicking())
    for _ in range(2):
        with pytest.raises(EngineFailed, match="failed on this request"):
            await bed.ask(5)
    await bed.scheduler.close()


async def test_a_held_scheduler_forms_its_first_batch_of_all_that_came() -> None:
    bed = Bed(BY_LENGTH, hold_until=3)
    tasks = [bed.ask(5), bed.ask(5)]
    await settle()
    assert bed.instance.batches == []
    await asyncio.gather(*tasks, bed.ask(5))
    await bed.ask(5)
    assert bed.instance.batches == [[5, 5, 5], [5]]
    await bed.scheduler.close()


async def test_a_request_over_the_budget_is_computed_in_parts_and_answered_as_one(
    bed: Bed,
) -> None:
    inputs = {"X": np.arange(1000, 1700).reshape(7, 100)}
    answer = await bed.scheduler.infer(InferRequest(model="echo", inputs=inputs))
    assert (answer.outputs["Y"] == inputs["X"]).all()
    assert bed.statistics.execution_count == 4
    assert sorted(bed.statistics.batches) == [1, 2]


async def test_a_part_that_fails_fails_its_request_and_takes_the_other_parts_out(bed: Bed) -> None:
    first = await bed.busy()
    inputs = {"X": np.ones((6, 100), dtype=np.int64)}
    inputs["X"][0] = 7
    failing = asyncio.create_task(bed.scheduler.infer(InferRequest(model="echo", inputs=inputs)))
    await settle()
    bed.instance.gate.set()
    with pytest.raises(InvalidInput, match="seven is refused"):
        await failing
    await first
    assert (await bed.ask(3)).outputs["Y"].shape == (1, 3)
    assert len(bed.instance.batches) <= 4  # one part may have been under way already


async def test_a_caller_who_leaves_takes_all_parts_out(bed: Bed) -> None:
    first = await bed.busy()
    leaving, staying = bed.ask(100, rows=6), bed.ask(50)
    await settle()
    leaving.cancel()
    await settle()
    bed.instance.gate.set()
    await asyncio.gather(first, staying)
    assert bed.instance.batches == [[1], [50]]
