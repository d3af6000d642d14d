"""Ragged batches: inputs joined flat, batch inputs that tell of them, outputs divided again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trivet.backend import ragged
from trivet.backend.contract import Batch, Rows
from trivet.backend.stacked import Run, Stacked
from trivet.config import BatchInput, BatchInputKind, BatchOutput, ModelConfig, TensorSpec
from trivet.errors import EngineFailed
from trivet.request import Tensors

Kind = BatchInputKind

# Requests of 1, 2 and 1 rows of [width, 2].
SOURCES = [np.zeros((1, 3, 2)), np.zeros((2, 1, 2)), np.zeros((1, 0, 2))]

X = TensorSpec(name="x", datatype="FP32", dims=(-1,), ragged=True)
Y = TensorSpec(name="y", datatype="FP32", dims=(2,))
OUT = TensorSpec(name="out", datatype="FP32", dims=(-1,))
ENDS = BatchInput(
    kind=Kind.ACCUMULATED_ELEMENT_COUNT, targets=("ends", "again"), datatype="INT32", source="x"
)
CONFIG = ModelConfig(
    name="m",
    max_batch_size=8,
    inputs=(X, Y),
    outputs=(OUT, TensorSpec(name="sum", datatype="FP32", dims=(1,))),
    batch_inputs=(ENDS,),
    batch_outputs=(BatchOutput(targets=("out",), source="x"),),
)


def executed(run: Run, *requests: Tensors, config: ModelConfig = CONFIG) -> list[Tensors]:
    answers = Stacked(run, config).execute(Batch([Rows(inputs) for inputs in requests], lambda: 5))
    return [answer.outputs for answer in answers]


def floats(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.ELEMENT_COUNT, [6, 4, 0]),
        (Kind.ACCUMULATED_ELEMENT_COUNT, [6, 10, 10]),
        (Kind.ACCUMULATED_ELEMENT_COUNT_WITH_ZERO, [0, 6, 10, 10]),
        (Kind.MAX_ELEMENT_COUNT_AS_SHAPE, [0] * 6),
        (Kind.ITEM_SHAPE, [[3, 2], [1, 2], [1, 2], [0, 2]]),
        (Kind.ITEM_SHAPE_FLATTEN, [3, 2, 1, 2, 1, 2, 0, 2]),
    ],
)
@pytest.mark.parametrize(("datatype", "dtype"), [("INT32", np.int32), ("FP32", np.float32)])
def test_a_batch_input_tells_of_requests_what_its_kind_says(
    kind: BatchInputKind, expected: list[object], datatype: str, dtype: type
) -> None:
    told = BatchInput(kind=kind, targets=("t",), datatype=datatype, source="x")
    values = ragged.batch_input(told, SOURCES)
    assert values.dtype == dtype
    assert values.tolist() == expected


def test_every_kind_of_the_protocol_is_tested_above() -> None:
    assert len(Kind) == 6


def test_ragged_inputs_are_joined_flat_and_the_others_stacked() -> None:
    seen: list[Tensors] = []

    def run(inputs: Tensors) -> Tensors:
        seen.append(inputs)
        return {"out": inputs["x"] * 2, "sum": inputs["y"][:, :1]}

    first = {"x": floats([1, 2, 3]), "y": floats([10, 0])}
    second = {"x": floats([4]), "y": floats([20, 0])}
    answers = executed(run, first, second)
    assert {name: array.tolist() for name, array in seen[0].items()} == {
        "x": [1, 2, 3, 4],
        "y": [[10, 0], [20, 0]],
        "ends": [3, 4],
        "again": [3, 4],
    }
    assert [answer["out"].tolist() for answer in answers] == [[[2, 4, 6]], [[8]]]
    assert [answer["sum"].tolist() for answer in answers] == [[[10]], [[20]]]


def test_a_lone_request_is_flat_likewise() -> None:
    seen: list[Tensors] = []

    def run(inputs: Tensors) -> Tensors:
        seen.append(inputs)
        return {"out": inputs["x"], "sum": inputs["y"][:, :1]}

    (answer,) = executed(run, {"x": floats([1, 2], [3, 4]), "y": floats([5, 0], [6, 0])})
    assert seen[0]["x"].tolist() == [1, 2, 3, 4]
    assert seen[0]["ends"].tolist() == [4]
    assert answer["out"].tolist() == [[1, 2], [3, 4]]
    assert answer["sum"].tolist() == [[5], [6]]


def test_texts_are_joined_like_numbers() -> None:
    config = replace(
        CONFIG,
        inputs=(replace(X, datatype="BYTES"),),
        outputs=(replace(OUT, datatype="BYTES"),),
        batch_inputs=(),
    )
    texts = [np.array([[b"a", b"b"]], object), np.array([[b"c"]], object)]
    answers = executed(
        lambda inputs: {"out": inputs["x"]}, *({"x": text} for text in texts), config=config
    )
    assert [answer["out"].tolist() for answer in answers] == [[[b"a", b"b"]], [[b"c"]]]


def test_fixed_dims_of_a_batch_output_are_its_own_and_the_others_those_of_the_source() -> None:
    sources = [np.zeros((2, 3)), np.zeros((1, 1))]
    parts = ragged.scattered("out", np.arange(14), (-1, -1, 2), sources)
    assert [part.shape for part in parts] == [(2, 3, 2), (1, 1, 2)]
    assert parts[1].tolist() == [[[12, 13]]]


@pytest.mark.parametrize("elements", [3, 5])
def test_a_batch_output_that_does_not_come_out_even_is_given_to_nobody(elements: int) -> None:
    with pytest.raises(EngineFailed, match=r"'out' has \d elements .* need 4; correct its dims"):
        ragged.scattered("out", np.arange(elements), (-1, -1), [np.zeros((1, 3)), np.zeros((1, 1))])


def test_an_output_per_request_is_refused_where_requests_have_more_rows() -> None:
    def sums(inputs: Tensors) -> Tensors:
        return {"out": inputs["x"], "sum": inputs["ends"].reshape(-1, 1)}

    two_rows = {"x": floats([1], [2]), "y": floats([0, 0], [0, 0])}
    with pytest.raises(EngineFailed, match=r"'sum' has shape \[1, 1\] .* 2 rows; .* one row in"):
        executed(sums, two_rows)
