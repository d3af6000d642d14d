"""Decoupled models: answers while computing, cancellation, errors, idle readers, counts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pytest

from tests.harness.instances import irreplaceable
from trivet.backend.contract import Answer, Batch, Rows, Sender
from trivet.clock import Clock, SystemClock
from trivet.config import BatchPolicy, ModelConfig, QueuePolicy, TensorSpec
from trivet.errors import (
    CallerLeft,
    EngineFailed,
    InvalidInput,
    QueueFull,
    ServeError,
    Unavailable,
    Unimplemented,
)
from trivet.model.model import Model
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.answers import UNREAD
from trivet.scheduling.decoupled import DecoupledScheduler
from trivet.scheduling.executor import Executor
from trivet.telemetry.statistics import Statistics
from trivet.telemetry.subject import Subject, ids_of, make_current
from trivet.testing.clock import ManualClock, settle

Script = Callable[[int, Sender], None]  # the request's number, and where its answers go
SPEC = TensorSpec(name="X", datatype="INT64", dims=(1,))


class Scripted:
    """An instance that does what a script says; notes the requests it was given."""

    def __init__(self, script: Script) -> None:
        self.asked: list[int] = []
        self.closed = False
        self._script = script

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        raise AssertionError("a decoupled instance is asked to stream")

    def stream(self, request: Rows, answers: Sender) -> None:
        number = int(request.inputs["X"].flat[0])
        self.asked.append(number)
        self._script(number, answers)

    def close(self) -> None:
        self.closed = True


class Once:
    """An instance that knows nothing of streams: echoes, or refuses 13."""

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        (request,) = batch.requests
        if request.inputs["X"].flat[0] == 13:
            return [InvalidInput("13 is not welcome")]
        return [Answer({"Y": request.inputs["X"]})]

    def close(self) -> None: ...


@asynccontextmanager
async def loaded(
    *instances: Scripted | Once, clock: Clock | None = None, policy: QueuePolicy | None = None
) -> AsyncGenerator[Model, None]:
    """A decoupled model over these instances; nothing takes longer than ten seconds."""
    config = ModelConfig(
        name="m",
        max_batch_size=4,
        inputs=(SPEC,),
        decoupled=True,
        queue_policy=policy or QueuePolicy(),
    )
    clock = clock or SystemClock()
    statistics = Statistics()
    pairs = [(instance, Executor(f"m-{n}")) for n, instance in enumerate(instances)]
    scheduler = DecoupledScheduler(config, 1, irreplaceable(pairs), statistics, clock)
    model = Model(config, 1, scheduler, statistics, clock)
    async with asyncio.timeout(10):
        yield model
        await model.close()


def ask(model: Model, number: int = 0, rows: int = 1) -> AsyncGenerator[InferResponse, None]:
    inputs = {"X": np.full((rows, 1), number, np.int64)}
    return model.stream(InferRequest(model="m", inputs=inputs))


async def numbers(responses: AsyncGenerator[InferResponse, None]) -> list[int]:
    return [int(response.outputs["Y"].flat[0]) async for response in responses]


def say(number: int) -> Answer:
    return Answer({"Y": np.array([[number]])}, {"said": number})


def count_to_request(number: int, answers: Sender) -> None:
    """As many answers as the request's number says."""
    for n in range(number):
        answers.send(say(n))


def talk_for_ever(number: int, answers: Sender) -> None:
    """Request 0 is answered without end, every other once."""
    if number:
        answers.send(say(number), final=True)
        return
    while True:
        answers.send(say(0))


async def test_answers_reach_the_caller_while_the_instance_computes() -> None:
    gate = threading.Event()

    def script(number: int, answers: Sender) -> None:
        answers.send(say(1))
        gate.wait()
        answers.send(say(2), final=True)

    async with loaded(Scripted(script)) as model, aclosing(ask(model)) as responses:
        first = await anext(responses)
        assert not gate.is_set()
        gate.set()
        second = await anext(responses)
        with pytest.raises(StopAsyncIteration):
            await anext(responses)
    assert [int(r.outputs["Y"].flat[0]) for r in (first, second)] == [1, 2]
    assert [first.final, second.final] == [False, True]
    assert (second.model, second.version, second.parameters) == ("m", 1, {"said": 2})


async def test_a_request_may_have_no_answer_one_or_many() -> None:
    async with loaded(Scripted(count_to_request)) as model:
        assert await numbers(ask(model, 0)) == []
        assert await numbers(ask(model, 1)) == [0]
        assert await numbers(ask(model, 100)) == list(range(100))


async def test_every_free_instance_takes_a_request_and_their_answers_mix() -> None:
    meeting = threading.Barrier(2)

    def script(number: int, answers: Sender) -> None:
        for n in range(3):
            meeting.wait(timeout=10)  # neither goes on without the other
            answers.send(say(10 * number + n))

    async with loaded(Scripted(script), Scripted(script)) as model:
        both = await asyncio.gather(numbers(ask(model, 1)), numbers(ask(model, 2)))
    assert both == [[10, 11, 12], [20, 21, 22]]


async def test_a_caller_who_leaves_frees_an_instance_that_waits_for_it() -> None:
    seen: list[BaseException] = []

    def script(number: int, answers: Sender) -> None:
        try:
            talk_for_ever(number, answers)
        except BaseException as error:
            seen.append(error)
            raise

    async with loaded(Scripted(script)) as model:
        endless = ask(model, 0)
        await anext(endless)
        await endless.aclose()
        assert await numbers(ask(model, 7)) == [7]
    assert [type(error) for error in seen] == [CallerLeft]
    assert model.statistics.fail.count == 1
    assert model.statistics.success.count == model.statistics.execution_count == 1
    assert model.statistics.response(1).cancel.count == 1


async def test_an_instance_can_see_that_the_caller_has_left() -> None:
    started, saw = threading.Event(), threading.Event()

    def script(number: int, answers: Sender) -> None:
        if number:
            answers.send(say(number))
            return
        started.set()
        while not answers.is_cancelled():
            pass
        saw.set()

    async with loaded(Scripted(script)) as model:
        waiting = asyncio.create_task(numbers(ask(model, 0)))
        await asyncio.to_thread(started.wait)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await numbers(ask(model, 1)) == [1]
    assert saw.is_set()


async def test_a_caller_who_leaves_the_queue_never_reaches_the_instance() -> None:
    gate = threading.Event()

    def script(number: int, answers: Sender) -> None:
        gate.wait()
        answers.send(say(number))

    instance = Scripted(script)
    async with loaded(instance) as model:
        first = asyncio.create_task(numbers(ask(model, 1)))
        await settle()
        second = asyncio.create_task(numbers(ask(model, 2)))
        third = asyncio.create_task(numbers(ask(model, 3)))
        await settle()
        second.cancel()
        await settle()
        gate.set()
        assert (await first, await third) == ([1], [3])
    assert instance.asked == [1, 3]
    assert instance.closed


async def test_an_error_comes_after_the_answers_sent_before_it() -> None:
    def script(number: int, answers: Sender) -> None:
        count_to_request(2, answers)
        if number:
            raise EngineFailed("out of breath")

    async with loaded(Scripted(script)) as model:
        responses = ask(model, 1)
        assert [(await anext(responses)).parameters["said"] for _ in range(2)] == [0, 1]
        with pytest.raises(EngineFailed, match=r"^model 'm': out of breath$"):
            await anext(responses)
        assert await numbers(ask(model, 0)) == [0, 1]
    assert model.statistics.response(2).fail.count == 1
    assert (model.statistics.fail.count, model.statistics.success.count) == (1, 1)


async def test_what_else_an_instance_raises_is_logged_and_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script(number: int, answers: Sender) -> None:
        raise ValueError("secret path")

    subject = Subject("Service/Method", None, 0)
    async with loaded(Scripted(script)) as model:
        make_current(subject)  # the instance's driver began before, and has none
        with pytest.raises(EngineFailed, match=r"failed on this request \(ValueError\)") as told:
            await numbers(ask(model))
    assert "secret" not in told.value.message
    (record,) = caplog.records
    assert record.getMessage() == "model_failed"
    assert vars(record).items() >= ids_of(subject).items()


async def test_a_failure_after_the_final_answer_is_logged_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script(number: int, answers: Sender) -> None:
        answers.send(say(1), final=True)
        answers.send(say(2))

    async with loaded(Scripted(script)) as model:
        assert await numbers(ask(model)) == [1]
    assert [record.getMessage() for record in caplog.records] == ["model_failed"]


async def test_an_instance_without_streams_gives_one_final_answer() -> None:
    async with loaded(Once()) as model:
        responses = [response async for response in ask(model, 5)]
        assert [(int(r.outputs["Y"].flat[0]), r.final) for r in responses] == [(5, True)]
        with pytest.raises(InvalidInput, match="13 is not welcome"):
            await numbers(ask(model, 13))


async def test_a_reader_who_does_not_read_loses_the_instance_when_somebody_waits() -> None:
    clock = ManualClock()
    async with loaded(Scripted(talk_for_ever), clock=clock) as model:
        idle = ask(model, 0)
        await anext(idle)
        other = asyncio.create_task(numbers(ask(model, 7)))
        for _ in range(9):
            await clock.advance(us=1_000_000)
        assert not other.done()
        while not other.done():
            await clock.advance(us=1_000_000)
        assert await other == [7]
        unread = 0
        with pytest.raises(Unavailable, match="model 'm': answers were not read for 10 s"):
            async for _ in idle:
                unread += 1
        assert unread == UNREAD


async def test_a_reader_may_take_its_time_while_nobody_waits() -> None:
    clock = ManualClock()
    async with loaded(Scripted(count_to_request), clock=clock) as model:
        slow = ask(model, 2 * UNREAD)
        got = [await anext(slow)]
        for _ in range(100):
            await clock.advance(us=1_000_000)
        got += [response async for response in slow]
    assert len(got) == 2 * UNREAD


async def test_what_is_counted_of_requests_executions_and_answers() -> None:
    clock = ManualClock()
    asked = asyncio.Queue[None]()
    loop = asyncio.get_running_loop()
    gates = [threading.Event(), threading.Event()]

    def script(number: int, answers: Sender) -> None:
        for n, gate in enumerate(gates):
            loop.call_soon_threadsafe(asked.put_nowait, None)
            gate.wait()
            answers.send(say(n), final=n == number)

    async with loaded(Scripted(script), clock=clock) as model:
        responses = asyncio.create_task(numbers(ask(model, 99, rows=3)))
        for gate, us in zip(gates, (5, 2), strict=True):
            await asked.get()
            await clock.advance(us=us)
            gate.set()
        assert await responses == [0, 1]
        counted = model.statistics
        assert (counted.inference_count, counted.execution_count) == (3, 1)
        assert (counted.success.count, counted.success.ns) == (1, 7_000)
        assert (counted.compute_infer.count, counted.compute_infer.ns) == (1, 7_000)
        assert list(counted.batches) == [3]
        first, second, end = (counted.responses[place] for place in range(3))
        assert (first.success.count, first.compute_infer.ns) == (1, 5_000)
        assert (second.success.count, second.compute_infer.ns) == (1, 2_000)
        assert (end.success.count, end.empty_response.count) == (0, 1)
        assert await numbers(ask(model, 1)) == [0, 1]  # the second knows that it is the last
        assert end.empty_response.count == 1


async def test_a_full_queue_a_wrong_request_and_a_single_answer_are_refused() -> None:
    gate = threading.Event()

    def script(number: int, answers: Sender) -> None:
        gate.wait()

    async with loaded(Scripted(script), policy=QueuePolicy(max_size=1)) as model:
        running = asyncio.create_task(numbers(ask(model)))
        await settle()
        waiting = asyncio.create_task(numbers(ask(model)))
        await settle()
        with pytest.raises(QueueFull):
            await numbers(ask(model))
        with pytest.raises(InvalidInput, match="batch size"):
            await numbers(ask(model, rows=9))
        with pytest.raises(Unimplemented, match="ask it through ModelStreamInfer"):
            await model.infer(InferRequest(model="m", inputs={"X": np.zeros((1, 1), np.int64)}))
        gate.set()
        assert [await running, await waiting] == [[], []]
    assert model.statistics.fail.count == 3


async def test_a_timeout_in_the_queue_is_told_when_it_expires() -> None:
    gate, clock = threading.Event(), ManualClock()

    def script(number: int, answers: Sender) -> None:
        gate.wait()

    policy = QueuePolicy(timeout_us=100)
    instance = Scripted(script)
    async with loaded(instance, clock=clock, policy=policy) as model:
        running = asyncio.create_task(numbers(ask(model, 1)))
        await settle()
        waiting = asyncio.create_task(numbers(ask(model, 2)))
        await settle()
        await clock.advance(us=99)
        assert not waiting.done()
        await clock.advance(us=1)
        with pytest.raises(Unavailable):
            await waiting
        gate.set()
        assert await running == []
    assert instance.asked == [1]


async def test_a_held_model_that_batches_waits_for_so_many_requests() -> None:
    config = ModelConfig(
        name="m", max_batch_size=4, inputs=(SPEC,), decoupled=True, dynamic_batching=BatchPolicy()
    )
    statistics, clock = Statistics(), SystemClock()
    instance = Scripted(count_to_request)
    pairs = [(instance, Executor("m-0"))]
    scheduler = DecoupledScheduler(config, 1, irreplaceable(pairs), statistics, clock, hold_until=2)
    model = Model(config, 1, scheduler, statistics, clock)
    async with asyncio.timeout(10):
        first = asyncio.create_task(numbers(ask(model, 1)))
        await settle()
        assert instance.asked == []
        assert await numbers(ask(model, 2)) == [0, 1]
        assert await first == [0]
        await model.close()
