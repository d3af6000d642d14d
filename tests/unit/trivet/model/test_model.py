"""The door of a loaded version: what is counted, whatever becomes of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest

from trivet.config import ModelConfig, TensorSpec
from trivet.errors import EngineFailed, InvalidInput
from trivet.model.model import Model
from trivet.request import InferRequest, InferResponse, Stages, Timings
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock

STAGES = Stages(queue_ns=1, compute_input_ns=2, compute_infer_ns=3, compute_output_ns=4)


class Scheduler:
    """Takes 5 us for every answer; fails, or never answers, when told to."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.error: Exception | None = None
        self.answers = True
        self.closed: list[str] = []

    async def infer(self, request: InferRequest) -> InferResponse:
        await self._clock.advance(us=5)
        if self.error:
            raise self.error
        if not self.answers:
            await asyncio.Event().wait()
        return InferResponse(model="m", version=1, outputs=request.inputs, stages=STAGES)

    async def close(self) -> None:
        self.closed.append("scheduler")


class Bed:
    def __init__(self, scheduler: type[Scheduler] = Scheduler) -> None:
        spec = TensorSpec(name="X", datatype="FP32", dims=(-1,))
        config = ModelConfig(name="m", max_batch_size=4, inputs=(spec,))
        self.clock = ManualClock()
        self.scheduler: Any = scheduler(self.clock)
        self.statistics = Statistics()
        self.model = Model(config, 1, self.scheduler, self.statistics, self.clock)

    async def ask(self, *shape: int) -> InferResponse:
        inputs = {"X": np.zeros(shape, np.float32)}
        return await self.model.infer(InferRequest(model="m", inputs=inputs))

    def stream(self, *shape: int) -> AsyncGenerator[InferResponse, None]:
        inputs = {"X": np.zeros(shape, np.float32)}
        return self.model.stream(InferRequest(model="m", inputs=inputs))


async def test_an_answered_request_is_counted_with_its_rows_and_stages() -> None:
    bed = Bed()
    await bed.ask(3, 2)
    await bed.ask(1, 2)
    counted = bed.statistics
    assert counted.inference_count == 4
    assert (counted.success.count, counted.success.ns) == (2, 10_000)
    assert (counted.fail.count, counted.queue.ns, counted.compute_infer.ns) == (0, 2, 6)
    assert counted.last_inference_ms > 0


async def test_a_refused_request_never_reaches_the_scheduler_and_is_counted() -> None:
    bed = Bed()
    with pytest.raises(InvalidInput, match="batch size must be 1 to 4"):
        await bed.ask(9, 2)
    assert (bed.statistics.fail.count, bed.statistics.fail.ns) == (1, 0)
    assert bed.statistics.inference_count == bed.statistics.success.count == 0


async def test_a_failed_request_is_counted_once() -> None:
    bed = Bed()
    bed.scheduler.error = EngineFailed("broken")
    with pytest.raises(EngineFailed, match="broken"):
        await bed.ask(1, 2)
    assert (bed.statistics.fail.count, bed.statistics.fail.ns) == (1, 5_000)
    assert bed.statistics.success.count == 0


async def test_a_request_whose_caller_left_is_counted_as_failed() -> None:
    bed = Bed()
    bed.scheduler.answers = False
    task = asyncio.create_task(bed.ask(1, 2))
    await bed.clock.advance()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert (bed.statistics.fail.count, bed.statistics.success.count) == (1, 0)


class Streams(Scheduler):
    """Gives two answers 5 us apart, and fails after them when told to."""

    async def stream(
        self, request: InferRequest, timings: Timings
    ) -> AsyncGenerator[InferResponse, None]:
        timings.taken_ns = timings.merged_ns = 1_000
        for _ in range(2):
            yield await self.infer(request)
        if self.error_after:
            raise self.error_after
        timings.computed_ns = timings.done_ns = 9_000

    error_after: Exception | None = None


async def test_a_stream_is_counted_once_however_many_its_answers() -> None:
    bed = Bed(Streams)
    assert len([response async for response in bed.stream(3, 2)]) == 2
    counted = bed.statistics
    assert (counted.inference_count, counted.success.count, counted.success.ns) == (3, 1, 10_000)
    assert (counted.queue.ns, counted.compute_infer.ns) == (1_000, 8_000)


async def test_a_stream_that_fails_or_is_given_up_is_counted_as_failed() -> None:
    bed = Bed(Streams)
    bed.scheduler.error_after = EngineFailed("broken")
    responses = bed.stream(1, 2)
    assert len([await anext(responses), await anext(responses)]) == 2
    with pytest.raises(EngineFailed, match="broken"):
        await anext(responses)
    given_up = bed.stream(1, 2)
    await anext(given_up)
    await given_up.aclose()
    with pytest.raises(InvalidInput, match="batch size"):
        await anext(bed.stream(9, 2))
    assert (bed.statistics.fail.count, bed.statistics.success.count) == (3, 0)
    assert bed.statistics.inference_count == 0


async def test_a_model_that_is_not_decoupled_streams_its_one_answer() -> None:
    bed = Bed()
    (response,) = [response async for response in bed.stream(2, 2)]
    assert response.final
    assert (bed.statistics.inference_count, bed.statistics.success.count) == (2, 1)
