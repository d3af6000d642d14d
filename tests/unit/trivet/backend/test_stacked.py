"""Requests stacked for a dense engine: each gets its own part back, or no answer at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from trivet.backend.contract import Batch, Rows
from trivet.backend.stacked import Run, Stacked
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import EngineFailed
from trivet.request import Tensors

A = TensorSpec(name="a", datatype="INT64", dims=(-1,), symbols=("tokens",))
B = TensorSpec(name="b", datatype="INT64", dims=(-1,), symbols=("tokens",), optional=True)
OUT = TensorSpec(name="out", datatype="INT64", dims=(-1,), symbols=("tokens",))
CONFIG = ModelConfig(
    name="m", max_batch_size=8, inputs=(A, B), outputs=(OUT,), parameters={"pad.a": "-7"}
)
ALONE = ModelConfig(name="m", max_batch_size=0, inputs=(A,), outputs=(OUT,))


def executed(run: Run, *requests: Tensors, config: ModelConfig = CONFIG) -> list[Tensors]:
    batch = Batch([Rows(inputs) for inputs in requests], lambda: 5)
    answers = Stacked(run, config).execute(batch)
    assert batch.merged_ns == batch.computed_ns == 5
    return [answer.outputs for answer in answers]


def numbers(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int64)


def test_rows_are_padded_together_and_cut_apart() -> None:
    seen: list[Mapping[str, np.ndarray]] = []

    def double(inputs: Tensors) -> Tensors:
        seen.append(inputs)
        return {"out": inputs["a"] * 2}

    first, second = numbers([1, 2, 3], [4, 5, 6]), numbers([7])
    answers = executed(double, {"a": first}, {"a": second})
    assert seen[0]["a"].tolist() == [[1, 2, 3], [4, 5, 6], [7, -7, -7]]
    assert [answer["out"].tolist() for answer in answers] == [[[2, 4, 6], [8, 10, 12]], [[14]]]


def test_a_lone_request_goes_as_it_came() -> None:
    array = numbers([1, 2])
    seen: list[Tensors] = []

    def echo(inputs: Tensors) -> Tensors:
        seen.append(inputs)
        return {"out": inputs["a"]}

    (answer,) = executed(echo, {"a": array})
    assert seen[0]["a"] is answer["out"] is array


def test_a_model_that_does_not_batch_may_answer_in_any_shape() -> None:
    (answer,) = executed(
        lambda inputs: {"out": inputs["a"].sum()}, {"a": np.arange(4)}, config=ALONE
    )
    assert answer["out"] == 6


def test_requests_with_different_optional_inputs_are_computed_apart_each_kind_together() -> None:
    seen: list[list[str]] = []

    def add(inputs: Tensors) -> Tensors:
        seen.append([*inputs, str(len(inputs["a"]))])
        return {"out": inputs["a"] + inputs.get("b", 0)}

    answers = executed(
        add,
        {"a": numbers([1])},
        {"b": numbers([10]), "a": numbers([2])},
        {"a": numbers([3, 4])},
        {"a": numbers([5]), "b": numbers([50])},
    )
    assert [answer["out"].tolist() for answer in answers] == [[[1]], [[12]], [[3, 4]], [[55]]]
    assert seen == [["a", "2"], ["b", "a", "2"]]


@pytest.mark.parametrize("answer", [numbers([1]), numbers([1], [2], [3]), np.array(5)])
def test_an_output_that_does_not_follow_the_batch_is_given_to_nobody(answer: np.ndarray) -> None:
    with pytest.raises(
        EngineFailed, match=r"output 'out' has shape .* for a batch of 2 rows"
    ) as told:
        executed(lambda _: {"out": answer}, {"a": numbers([1])}, {"a": numbers([2])})
    assert "set max_batch_size: 0" in told.value.message
