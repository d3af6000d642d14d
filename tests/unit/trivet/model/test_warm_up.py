"""The sample that every instance answers before it is ready."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch
from trivet.config import Dims, ModelConfig, TensorSpec
from trivet.errors import InvalidInput, ServeError
from trivet.model.validation import Validator
from trivet.model.warm_up import SIZE, sample, warm_up
from trivet.request import InferRequest
from trivet.testing.clock import ManualClock
from trivet_protos.wire import DATATYPES


class Recorder:
    """An instance that keeps the batches it got."""

    def __init__(self, *answers: Answer | ServeError) -> None:
        self._answers = answers
        self.batches: list[Batch] = []

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        self.batches.append(batch)
        return self._answers

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("max_batch_size", "dims", "shape"),
    [
        (0, (3,), (3,)),
        (0, (-1, 3), (SIZE, 3)),
        (0, (), ()),
        (4, (3,), (1, 3)),
        (4, (-1, 2, -1), (1, SIZE, 2, SIZE)),
        (4, (), (1,)),
    ],
)
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_sample_is_one_row_of_a_small_size(
    max_batch_size: int, dims: Dims, shape: tuple[int, ...], datatype: str
) -> None:
    config = ModelConfig(name="m", max_batch_size=max_batch_size)
    assert sample(TensorSpec(name="X", datatype=datatype, dims=dims), config).shape == shape


def test_numbers_are_zero_and_texts_are_words() -> None:
    config = ModelConfig(name="m")
    numbers = sample(TensorSpec(name="X", datatype="INT64", dims=(2,)), config)
    assert numbers.tolist() == [0, 0]
    texts = sample(TensorSpec(name="X", datatype="BYTES", dims=(2,)), config)
    assert texts.tolist() == [b"warm up"] * 2


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("max_batch_size", [0, 2])
def test_a_sample_is_a_request_the_model_would_take(datatype: str, max_batch_size: int) -> None:
    spec = TensorSpec(name="X", datatype=datatype, dims=(-1, 3))
    config = ModelConfig(name="m", max_batch_size=max_batch_size, inputs=(spec,))
    request = InferRequest(model="m", inputs={"X": sample(spec, config)})
    assert Validator(config).check(request) == 1


def test_one_request_with_every_input_is_executed_by_the_clock_given() -> None:
    specs = tuple(TensorSpec(name=name, datatype="FP32", dims=(-1,)) for name in "ab")
    recorder, clock = Recorder(), ManualClock()
    warm_up(recorder, ModelConfig(name="m", max_batch_size=4, inputs=specs), clock)
    (batch,) = recorder.batches
    (rows,) = batch.requests
    assert {name: array.shape for name, array in rows.inputs.items()} == {
        "a": (1, SIZE),
        "b": (1, SIZE),
    }
    assert batch.now_ns() == clock.now_ns()
    assert np.isfinite(rows.inputs["a"]).all()


def test_an_answer_that_refuses_the_sample_is_no_fault() -> None:
    recorder = Recorder(InvalidInput("the text has no mask token"))
    warm_up(recorder, ModelConfig(name="m"), ManualClock())
    assert len(recorder.batches) == 1


def test_what_the_engine_raises_is_raised() -> None:
    class Broken(Recorder):
        def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        warm_up(Broken(), ModelConfig(name="m"), ManualClock())
