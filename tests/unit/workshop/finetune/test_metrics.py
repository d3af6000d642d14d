"""Scores, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trivet_backends.workshop.finetune import metrics


def test_classification() -> None:
    scores = metrics.classification(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), labels=3)
    assert scores["accuracy"] == 0.75
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O B-X I-X O", [(1, 3, "X")]),
        ("B-X B-X", [(0, 1, "X"), (1, 2, "X")]),
        ("I-X I-Y", [(0, 1, "X"), (1, 2, "Y")]),
        ("B-X I-Y I-Y", [(0, 1, "X"), (1, 3, "Y")]),
        ("VERB O VERB", [(0, 1, "VERB"), (2, 3, "VERB")]),
        ("O O", []),
    ],
)
def test_entities(tags: str, found: list[tuple[int, int, str]]) -> None:
    assert list(metrics.entities(tags.split())) == found


def test_tagging_counts_whole_entities() -> None:
    scores = metrics.tagging([["B-X", "I-X", "O"]], [["B-X", "O", "O"]])
    assert scores == {"accuracy": pytest.approx(2 / 3), "f1": 0.0}
    assert metrics.tagging([["O"]], [["O"]])["f1"] == 1.0


def test_answers_are_compared_as_squad_does() -> None:
    scores = metrics.answering(["The cat!", "", "a red door"], ["cat", "", "red window"])
    assert scores["exact_match"] == pytest.approx(2 / 3)
    assert scores["f1"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert metrics.answering([""], ["cat"])["f1"] == 0


def test_what_was_written_after_a_step_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics.keep_until(path, 0)
    for step in (1, 2, 3):
        metrics.append_line(path, {"kind": "train", "step": step, "loss": 0.1})
    with path.open("a") as file:
        file.write('{"kind": "tra')  # a kill cut it short
    metrics.keep_until(path, 2)
    assert [line["step"] for line in metrics.read_lines(path)] == [1, 2]
