"""Requests for labels as tensors: what is read of them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.harness.labelling import column, row
from trivet.errors import InvalidInput
from trivet.request import InferRequest
from trivet.scheduling.labelling.asked import (
    MAX_NAMES_BYTES,
    MAX_SCORES,
    FewShot,
    Method,
    ZeroShot,
    check_size,
)
from trivet.scheduling.labelling.scores import Scored
from trivet.scheduling.labelling.tensors import (
    answer_of,
    few_shot_of,
    texts_of,
    zero_shot_of,
)


def request(parameters: dict[str, Any] | None = None, **inputs: np.ndarray) -> InferRequest:
    return InferRequest(model="m", inputs=inputs, parameters=parameters or {})


def test_options_are_parameters() -> None:
    told = {"template": "Go {}!", "multi_label": True, "temperature": 1}
    asked = zero_shot_of(request(told, LABEL=row(["é", "b"])))
    expected = ZeroShot(
        labels=["é", "b"],
        template="Go {}!",
        multi_label=True,
        temperature=1.0,
        who="model 'm'",
        field="LABEL",
    )
    assert asked == expected


def test_examples_are_two_inputs() -> None:
    told = {"method": "nearest_neighbors", "neighbors": 2}
    inputs = {"EXAMPLE": row(["a", "b"]), "EXAMPLE_LABEL": row(["x", "y"])}
    asked = few_shot_of(request(told, **inputs))
    assert (asked.texts, asked.labels) == (["a", "b"], ["x", "y"])
    assert (asked.method, asked.neighbors) == (Method.NEAREST_NEIGHBORS, 2)
    assert few_shot_of(request(**inputs)).method is Method.NEAREST_CENTROID


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"multi_label": 1}, "parameter 'multi_label' is 1; send true or false"),
        ({"template": 5}, "parameter 'template' is 5; send a string"),
        ({"temperature": "hot"}, "parameter 'temperature' is 'hot'; send a number"),
        ({"temperature": True}, "parameter 'temperature' is True; send a number"),
    ],
)
def test_a_parameter_of_another_type_is_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        zero_shot_of(request(parameters, LABEL=row(["a"])))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"neighbors": -1}, "parameter 'neighbors' is -1; send a whole number of 0 or more"),
        ({"neighbors": 1.5}, "parameter 'neighbors' is 1.5"),
        ({"method": "furthest"}, "is 'furthest'; send nearest_centroid or nearest_neighbors"),
    ],
)
def test_a_way_of_comparing_there_is_not_is_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        few_shot_of(request(parameters, EXAMPLE=row(["a"]), EXAMPLE_LABEL=row(["x"])))


def test_labels_without_examples_are_refused_and_examples_without_labels() -> None:
    for texts, labels in ((["a"], ["x", "y"]), (["a"], [])):
        with pytest.raises(InvalidInput, match=f"EXAMPLE_LABEL {len(labels)}; send a label for"):
            few_shot_of(request(EXAMPLE=row(texts), EXAMPLE_LABEL=row(labels)))


def test_what_is_no_text_is_refused_with_its_place() -> None:
    broken = np.array([b"fine", b"\xff\xfe"], object)
    with pytest.raises(InvalidInput, match=r"model 'm': LABEL\[1\] is not UTF-8; send"):
        zero_shot_of(request(LABEL=broken))
    with pytest.raises(InvalidInput, match=r"TEXT\[1\] is not UTF-8"):
        texts_of(request(TEXT=broken[:, None]))


def test_no_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="TEXT is empty; send at least one text"):
        texts_of(request(TEXT=column([])))


def test_an_answer_that_would_be_too_large_is_refused() -> None:
    many = ZeroShot(labels=[str(n) for n in range(1000)])
    check_size(many, 1000)
    with pytest.raises(InvalidInput, match=r"1001 texts with 1000 labels of .*; split the request"):
        check_size(many, 1001)
    long = ZeroShot(labels=["a" * (MAX_NAMES_BYTES // 4), "b"])
    check_size(long, 3)
    with pytest.raises(InvalidInput, match="ZeroShot: 4 texts with 2 labels"):
        check_size(long, 4)
    few = FewShot(texts=["a", "b", "c"] * 300, labels=["x", "y", "x"] * 300)
    check_size(few, MAX_SCORES // 2)


def test_an_answer_has_a_row_for_each_text() -> None:
    outputs = answer_of(
        [[Scored("é", 0.75, 0.5), Scored("b", 0.25, -1.0)], [Scored("b", 1, 1), Scored("é", 0, 0)]]
    )
    assert outputs["LABEL"].tolist() == [["é".encode(), b"b"], [b"b", "é".encode()]]
    assert outputs["SCORE"].tolist() == [[0.75, 0.25], [1, 0]]
    assert outputs["SIMILARITY"].tolist() == [[0.5, -1], [1, 0]]
    assert outputs["SCORE"].dtype == outputs["SIMILARITY"].dtype == np.float32


def test_what_is_wrong_with_examples_names_their_tensors() -> None:
    asked = few_shot_of(
        request(EXAMPLE=row(["a", "b"]), EXAMPLE_LABEL=row(["x", " "]), TEXT=column(["a"]))
    )
    assert isinstance(asked, FewShot)
    with pytest.raises(InvalidInput, match=r"^EXAMPLE_LABEL\[1\] is empty; send a word"):
        asked.check()
