"""Requests over the budget are taken apart by rows and put together again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.config import BatchOrder, BatchPolicy
from trivet.errors import EngineFailed
from trivet.request import InferRequest, InferResponse, Stages
from trivet.scheduling.parts import joined, part_of, parts


def policy(tokens: int, order: BatchOrder = BatchOrder.LENGTH) -> BatchPolicy:
    return BatchPolicy(order=order, max_batch_size=64, max_batch_tokens=tokens)


@pytest.mark.parametrize(
    ("rows", "length", "tokens", "sizes"),
    [
        (4, 10, 40, [4]),
        (4, 10, 39, [2, 2]),
        (5, 10, 40, [2, 3]),
        (9, 10, 40, [3, 3, 3]),
        (3, 100, 40, [1, 1, 1]),
        (1, 100, 40, [1]),
        (64, 0, 40, [64]),
        (64, 512, 0, [64]),
    ],
)
def test_parts_are_even_and_within_the_budget(
    rows: int, length: int, tokens: int, sizes: list[int]
) -> None:
    assert [part.stop - part.start for part in parts(rows, length, policy(tokens))] == sizes


@pytest.mark.parametrize("order", [BatchOrder.ARRIVAL, BatchOrder.EQUAL_SHAPES])
def test_only_batching_by_length_takes_requests_apart(order: BatchOrder) -> None:
    assert parts(64, 512, policy(512, order)) == (slice(0, 64),)


@given(st.integers(1, 200), st.integers(0, 600), st.integers(1, 4096))
def test_every_row_is_in_one_part_and_no_part_breaks_the_budget(
    rows: int, length: int, tokens: int
) -> None:
    pieces = parts(rows, length, policy(tokens))
    assert [row for piece in pieces for row in range(piece.start, piece.stop)] == list(range(rows))
    for piece in pieces:
        held = piece.stop - piece.start
        assert held == 1 or held * length <= tokens


def response(values: list[int], queue_ns: int = 0, **parameters: int) -> InferResponse:
    outputs = {"Y": np.array(values).reshape(-1, 1), "T": np.array([[b"x"]] * len(values), object)}
    stages = Stages(queue_ns=queue_ns)
    return InferResponse(
        model="m", version=1, outputs=outputs, parameters=parameters, stages=stages
    )


def test_the_answer_has_all_rows_in_order_and_the_stages_of_the_last_part() -> None:
    answer = joined([response([1, 2], 5, a=1), response([3], 9, b=2), response([4], 7)])
    assert answer.outputs["Y"].tolist() == [[1], [2], [3], [4]]
    assert answer.outputs["T"].tolist() == [[b"x"]] * 4
    assert answer.parameters == {"a": 1, "b": 2}
    assert answer.stages.queue_ns == 9


def test_outputs_that_do_not_fit_together_are_an_error_that_says_so() -> None:
    wide = InferResponse(
        model="m", version=1, outputs={"Y": np.zeros((1, 2)), "T": np.zeros((1, 1))}
    )
    with pytest.raises(EngineFailed, match=r"output 'Y' has rows of shapes.*send fewer rows"):
        joined([response([1]), wide])


def test_a_part_is_a_view_of_the_request() -> None:
    whole = np.arange(8).reshape(4, 2)
    request = InferRequest(model="m", id="7", inputs={"X": whole}, outputs=("Y",))
    part = part_of(request, slice(1, 3))
    assert part.inputs["X"].tolist() == [[2, 3], [4, 5]]
    assert part.inputs["X"].base is whole or part.inputs["X"].base is whole.base
    assert (part.id, part.outputs) == ("7", ("Y",))
