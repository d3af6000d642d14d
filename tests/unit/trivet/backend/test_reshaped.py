"""Reshapes: the engine sees other shapes than clients do, and no element is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from trivet.backend.contract import (
    Answer,
    Batch,
    DecoupledInstance,
    Rows,
    Sender,
    Signature,
)
from trivet.backend.reshaped import Reshaped, instance_of
from trivet.config import Dims, ModelConfig, TensorSpec
from trivet.errors import EngineFailed, InvalidInput, ServeError


@dataclass
class Engine:
    """Notes the shapes of `x` and answers `out` with prepared arrays, or an error."""

    answers: Sequence[np.ndarray | ServeError]
    seen: list[tuple[int, ...]] = field(default_factory=list)
    config: ModelConfig | None = None
    signature = Signature()
    closed = False

    def instance(self, config: ModelConfig) -> Engine:
        self.config = config
        return self

    def execute(self, batch: Batch) -> list[Answer | ServeError]:
        self.seen += [request.inputs["x"].shape for request in batch.requests]
        batch.merged_ns, batch.computed_ns = 1, 2
        return [
            answer
            if isinstance(answer, ServeError)
            else Answer({"out": answer}, {"said": request.parameters["say"]})
            for answer, request in zip(self.answers, batch.requests, strict=True)
        ]

    def is_quick(self, batch: Batch) -> bool:
        return batch.requests[0].inputs["x"].ndim == 1

    def close(self) -> None:
        self.closed = True


def config(
    x: tuple[Dims, Dims | None] = ((-1,), None),
    out: tuple[Dims, Dims | None] = ((-1,), None),
    max_batch_size: int = 4,
) -> ModelConfig:
    return ModelConfig(
        name="m",
        max_batch_size=max_batch_size,
        inputs=(TensorSpec(name="x", datatype="FP32", dims=x[0], reshape=x[1]),),
        outputs=(TensorSpec(name="out", datatype="FP32", dims=out[0], reshape=out[1]),),
    )


def batch(*arrays: np.ndarray) -> Batch:
    return Batch([Rows({"x": array}, {"say": 7}) for array in arrays], lambda: 0)


def outputs(answers: Sequence[Answer | ServeError]) -> list[Mapping[str, np.ndarray]]:
    assert all(isinstance(answer, Answer) for answer in answers)
    return [answer.outputs for answer in answers if isinstance(answer, Answer)]


@pytest.mark.parametrize(
    ("dims", "reshape", "sent", "expected"),
    [
        ((1,), (), (3, 1), (3,)),
        ((4,), (2, 2), (1, 4), (1, 2, 2)),
        ((-1, 4, -1, 2), (2, -1, 2, -1, 1, 2), (1, 5, 4, 6, 2), (1, 2, 5, 2, 6, 1, 2)),
        ((-1, 1), (-1,), (2, 0, 1), (2, 0)),
    ],
)
def test_the_engine_gets_the_reshape_and_gives_the_dims(
    dims: Dims, reshape: Dims, sent: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    engine = Engine([np.ones(expected)])
    instance = instance_of(engine, config(x=(dims, reshape), out=(dims, reshape)))
    asked = batch(np.ones(sent))
    (answer,) = instance.execute(asked)
    assert engine.seen == [expected]
    assert isinstance(answer, Answer)
    assert answer.outputs["out"].shape == sent
    assert answer.parameters == {"said": 7}
    assert (asked.merged_ns, asked.computed_ns) == (1, 2)
    assert asked.requests[0].inputs["x"].shape == sent  # a failed batch is tried again as it was


def test_without_a_batch_dimension_all_of_the_shape_is_reshaped() -> None:
    engine = Engine([np.ones((2, 3))])
    both = ((-1,), None), ((6,), (2, 3))
    instance = instance_of(engine, config(x=both[0], out=both[1], max_batch_size=0))
    (answer,) = outputs(instance.execute(batch(np.ones(5))))
    assert engine.seen == [(5,)]
    assert answer["out"].shape == (6,)


def test_the_artifact_is_told_its_own_shapes() -> None:
    engine = Engine([])
    instance_of(engine, config(x=((4,), (2, 2))))
    assert engine.config is not None
    assert engine.config.inputs[0].dims == (2, 2)


def test_without_a_reshape_nothing_stands_between() -> None:
    engine = Engine([])
    assert instance_of(engine, config()) is engine


def test_an_error_stays_an_error_and_stays_with_its_request() -> None:
    refusal = InvalidInput("no")
    instance = Reshaped(Engine([refusal, np.ones((1, 2, 2))]), config(out=((4,), (2, 2))))
    first, second = instance.execute(batch(np.ones((1, 1)), np.ones((1, 1))))
    assert first is refusal
    assert isinstance(second, Answer)


@pytest.mark.parametrize("shape", [(1, 4), (1, 3, 2), (1, 2, 2, 1)])
def test_an_output_of_another_shape_than_written_is_not_forced(shape: tuple[int, ...]) -> None:
    instance = Reshaped(Engine([np.ones(shape)]), config(out=((4,), (2, 2))))
    with pytest.raises(EngineFailed, match=r"'out' has shape .* reshape .* is \[2, 2\]; correct"):
        instance.execute(batch(np.ones((1, 1))))


def test_quickness_and_the_end_are_the_engines() -> None:
    engine = Engine([])
    instance = Reshaped(engine, config(x=((1,), ())))
    assert instance.is_quick(batch(np.ones((3, 1))))
    instance.close()
    assert engine.closed


class Streaming(Engine):
    """Sends each of its answers in turn, the last one as such."""

    def instance(self, config: ModelConfig) -> Streaming:
        return self

    def stream(self, request: Rows, answers: Sender) -> None:
        self.seen.append(request.inputs["x"].shape)
        for number, answer in enumerate(self.answers, start=1):
            assert isinstance(answer, np.ndarray)
            assert answers.is_cancelled() == (number == 2)
            answers.send(Answer({"out": answer}), final=number == len(self.answers))


class Caller:
    """Keeps what it is sent, and has left after the first answer."""

    def __init__(self) -> None:
        self.got: list[tuple[tuple[int, ...], bool]] = []

    def send(self, answer: Answer, *, final: bool = False) -> None:
        self.got.append((answer.outputs["out"].shape, final))

    def is_cancelled(self) -> bool:
        return len(self.got) == 1


def test_every_answer_of_a_decoupled_model_is_reshaped_as_it_is_sent() -> None:
    engine, caller = Streaming([np.ones((1, 2, 2)), np.zeros((1, 2, 2))]), Caller()
    instance = instance_of(engine, config(x=((1,), ()), out=((4,), (2, 2))))
    assert isinstance(instance, DecoupledInstance)
    instance.stream(batch(np.ones((1, 1))).requests[0], caller)
    assert engine.seen == [(1,)]
    assert caller.got == [((1, 4), False), ((1, 4), True)]


def test_an_instance_that_does_not_stream_is_not_made_to() -> None:
    assert not isinstance(instance_of(Engine([]), config(x=((1,), ()))), DecoupledInstance)
