"""Labels, spans and answers as `trivet infer` shows them."""

from __future__ import annotations

import numpy as np

from trivet_client.commands.render_heads import head_lines


def words(*texts: str) -> np.ndarray:
    return np.array([[text.encode() for text in texts]], object)


def test_labels_are_shown_with_their_scores() -> None:
    outputs = {"LABEL": words("positive", "gut"), "SCORE": np.array([[0.75, 0.25]])}
    assert head_lines(outputs) == ["  positive  0.7500", "  gut       0.2500"]


def test_spans_are_shown_with_their_places_and_what_fills_up_is_not() -> None:
    outputs = {
        "LABEL": words("PER", ""),
        "SCORE": np.array([[0.5, 0]]),
        "START": np.array([[4, -1]]),
        "END": np.array([[16, -1]]),
        "SPAN": words("Ada Lovelace", ""),
    }
    assert head_lines(outputs) == ["  PER   50.0%       4-16  Ada Lovelace"]


def test_answers_are_shown_and_that_there_is_none() -> None:
    outputs = {
        "ANSWER": words("東京"),
        "PROBABILITY": np.array([[0.125]]),
        "START": np.array([[0]]),
        "END": np.array([[2]]),
    }
    assert head_lines(outputs) == ["   12.5%        0-2  東京"]
    none = {**outputs, "START": np.array([[-1]]), "END": np.array([[-1]])}
    assert head_lines(none) == ["  no answer"]


def test_other_outputs_are_left_to_others() -> None:
    assert head_lines({"EMBEDDING": np.zeros((1, 4))}) is None
