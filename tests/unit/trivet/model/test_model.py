"""The door of a loaded version: what is counted, whatever becomes of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest

from trivet.config import ModelConfig, TensorSpec
from trivet.errors import EngineFailed, InvalidInput
from trivet.model.cache import ResponseCache
from trivet.model.model import Model
from trivet.request import InferRequest, InferResponse, Stages, Timings
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock

STAGES = Stages(queue_ns=1, compute_input_ns=2, compute_infer_ns=3, compute_output_ns=4)


class Scheduler:
    """Takes 5 us for every answer; fails, or never answers, when told to."""

    pending = 0

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


class CachedBed(Bed):
    """A model with a response cache, whose own work the clock does not see."""

    def __init__(self, room: int = 1 << 20) -> None:
        super().__init__()
        self.cache = ResponseCache(room)
        self.asked = 0
        share = self.cache.share()
        self.model = Model(self.model.config, 1, self, self.statistics, self.clock, cache=share)

    async def infer(self, request: InferRequest) -> InferResponse:
        self.asked += 1
        return await self.scheduler.infer(request)

    async def close(self) -> None: ...

    @property
    def cached(self) -> tuple[int, int]:
        """Hits and misses."""
        return self.statistics.cache_hit.count, self.statistics.cache_miss.count


async def test_a_question_asked_again_is_answered_from_the_cache() -> None:
    bed = CachedBed()
    first, again = await bed.ask(3, 2), await bed.ask(3, 2)
    np.testing.assert_array_equal(first.outputs["X"], again.outputs["X"])
    assert (bed.asked, bed.cached) == (1, (1, 1))


async def test_a_hit_is_a_success_but_no_inference_and_no_stage() -> None:
    bed = CachedBed()
    await bed.ask(3, 2)
    bed.statistics.last_inference_ms = 0
    await bed.ask(3, 2)
    counted = bed.statistics
    assert (counted.inference_count, counted.success.count, counted.fail.count) == (3, 2, 0)
    assert (counted.queue.count, counted.queue.ns) == (2, 1)
    assert (counted.compute_input.count, counted.compute_infer.count) == (1, 1)
    assert counted.compute_output.count == 1
    assert counted.last_inference_ms > 0


async def test_the_time_of_lookups_is_counted_and_that_of_the_model_is_not() -> None:
    class Ticking(ManualClock):
        """A clock that goes on by 1 us whenever it is read."""

        def now_ns(self) -> int:
            self.reads += 1
            return super().now_ns() + self.reads * 1_000

        reads = 0

    bed = CachedBed()
    bed.model._clock = Ticking()
    await bed.ask(1, 2)
    await bed.ask(1, 2)
    # One reading from looking up to knowing, and of a miss one more from answered to kept.
    assert (bed.statistics.cache_miss.ns, bed.statistics.cache_hit.ns) == (2_000, 1_000)


async def test_a_failed_answer_is_not_kept() -> None:
    bed = CachedBed()
    bed.scheduler.error = EngineFailed("broken")
    with pytest.raises(EngineFailed):
        await bed.ask(1, 2)
    bed.scheduler.error = None
    await bed.ask(1, 2)
    assert (bed.asked, bed.cached, len(bed.cache)) == (2, (0, 2), 1)
    assert (bed.statistics.fail.count, bed.statistics.success.count) == (1, 1)


async def test_a_refused_request_is_not_looked_up() -> None:
    bed = CachedBed()
    with pytest.raises(InvalidInput):
        await bed.ask(9, 2)
    assert (bed.asked, bed.cached) == (0, (0, 0))


async def test_equal_requests_under_way_together_are_each_computed() -> None:
    bed = CachedBed()
    answers = await asyncio.gather(*(bed.ask(1, 2) for _ in range(3)))
    assert len(answers) == 3
    assert (bed.asked, bed.cached, len(bed.cache)) == (3, (0, 3), 1)
    await bed.ask(1, 2)
    assert (bed.asked, bed.cached) == (3, (1, 3))


async def test_a_caller_who_leaves_takes_no_other_with_him() -> None:
    bed = CachedBed()
    leaving, staying = (asyncio.create_task(bed.ask(1, 2)) for _ in range(2))
    await bed.clock.advance()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    assert (await staying).outputs["X"].shape == (1, 2)


async def test_an_unloaded_version_leaves_nothing_in_the_cache() -> None:
    bed = CachedBed()
    await bed.ask(1, 2)
    assert len(bed.cache) == 1
    await bed.model.close()
    assert (len(bed.cache), bed.cache.size) == (0, 0)
