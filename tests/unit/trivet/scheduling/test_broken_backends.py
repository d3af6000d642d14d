"""A backend that breaks its contract harms the request it got, and nothing after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from tests.harness.instances import irreplaceable
from trivet.backend.contract import Answer, Batch
from trivet.config import BatchPolicy, ModelConfig, TensorSpec
from trivet.errors import Code, EngineFailed, InvalidInput, ServeError, Unavailable
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.executor import Executor
from trivet.telemetry.statistics import Statistics
from trivet.telemetry.subject import Subject, ids_of, make_current
from trivet.testing.clock import ManualClock

Execute = Callable[[Batch], Any]


class Instance:
    """Echoes, but executes as told where it is told."""

    def __init__(self) -> None:
        self.next: Execute | None = None
        self.sizes: list[int] = []

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        self.sizes.append(len(batch.requests))
        if self.next is not None:
            answers: Sequence[Answer | ServeError] = self.next(batch)
            return answers
        return [Answer({"Y": request.inputs["X"]}) for request in batch.requests]

    def close(self) -> None: ...


class Bed:
    def __init__(self) -> None:
        spec = TensorSpec(name="X", datatype="INT64", dims=(-1,))
        config = ModelConfig(
            name="m",
            max_batch_size=8,
            inputs=(spec,),
            dynamic_batching=BatchPolicy(max_batch_size=8),
        )
        self.instance = Instance()
        pairs = [(self.instance, Executor("m-0"))]
        self.scheduler = BatchScheduler(
            config, 1, irreplaceable(pairs), Statistics(), ManualClock()
        )

    def ask(self, value: int) -> asyncio.Task[InferResponse]:
        inputs = {"X": np.full((1, 2), value)}
        return asyncio.create_task(self.scheduler.infer(InferRequest(model="m", inputs=inputs)))


@pytest_asyncio.fixture
async def bed() -> AsyncIterator[Bed]:
    made = Bed()
    yield made
    await made.scheduler.close()


def raising(error: BaseException) -> Execute:
    def execute(batch: Batch) -> object:
        raise error

    return execute


BROKEN: dict[str, Execute] = {
    "too few answers": lambda batch: [],
    "too many answers": lambda batch: [Answer({})] * (len(batch.requests) + 1),
    "no answers": lambda batch: None,
    "answers of another kind": lambda batch: [{"Y": 1}] * len(batch.requests),
    "an error that is no ServeError": lambda batch: [ValueError("no")] * len(batch.requests),
    "StopIteration": raising(StopIteration()),
    "SystemExit": raising(SystemExit(3)),
    "KeyboardInterrupt": raising(KeyboardInterrupt()),
    "CancelledError": raising(asyncio.CancelledError()),
}


@pytest.mark.parametrize("case", BROKEN, ids=list(BROKEN))
async def test_a_broken_answer_fails_its_requests_and_the_next_is_answered(
    bed: Bed, case: str
) -> None:
    bed.instance.next = BROKEN[case]
    failed = await asyncio.gather(*(bed.ask(n) for n in range(3)), return_exceptions=True)
    for error in failed:
        assert isinstance(error, EngineFailed)
        assert error.message.startswith("model 'm' version 1 failed on this request")
    bed.instance.next = None
    answer = await bed.ask(5)
    assert answer.outputs["Y"].tolist() == [[5, 5]]


async def test_too_few_answers_to_a_batch_are_given_to_nobody(bed: Bed) -> None:
    def lose_one(batch: Batch) -> list[Answer]:
        answers = [Answer({"Y": request.inputs["X"]}) for request in batch.requests]
        return answers[1:] if len(answers) > 1 else answers

    bed.instance.next = lose_one
    answers = await asyncio.gather(*(bed.ask(n) for n in range(4)))
    assert [answer.outputs["Y"].tolist() for answer in answers] == [[[n, n]] for n in range(4)]
    assert bed.instance.sizes == [4, 1, 1, 1, 1]


@pytest.mark.parametrize("error", [InvalidInput, EngineFailed, Unavailable])
@pytest.mark.parametrize("given", ["raised", "returned"])
async def test_a_backends_error_is_told_with_the_models_name(
    bed: Bed, error: type[ServeError], given: str
) -> None:
    bed.instance.next = (
        raising(error("seven is refused"))
        if given == "raised"
        else lambda batch: [error("seven is refused")]
    )
    with pytest.raises(error) as told:
        await bed.ask(7)
    assert told.value.message == str(told.value) == "model 'm': seven is refused"
    assert told.value.code is error.code is not Code.OK


async def test_one_error_given_to_several_is_named_once_each(bed: Bed) -> None:
    shared = InvalidInput("all are refused")
    bed.instance.next = lambda batch: [shared] * len(batch.requests)
    errors = await asyncio.gather(*(bed.ask(n) for n in range(2)), return_exceptions=True)
    assert [str(error) for error in errors] == ["model 'm': all are refused"] * 2


async def test_a_bug_is_logged_with_the_trace_of_its_request(
    bed: Bed, caplog: pytest.LogCaptureFixture
) -> None:
    bed.instance.next = raising(ValueError("a bug"))
    subject = Subject("Service/Method", None, 0)
    make_current(subject)  # the instance's driver began before, and has none
    with pytest.raises(EngineFailed, match="the server's log has the details"):
        await bed.ask(7)
    (record,) = caplog.records
    assert record.getMessage() == "model_failed"
    assert vars(record).items() >= ids_of(subject).items()
