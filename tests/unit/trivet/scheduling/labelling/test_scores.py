"""Scores of labels, against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trivet.scheduling.labelling.scores import (
    Scored,
    cosine,
    nearest_centroid,
    nearest_neighbors,
    unit,
    zero_shot,
)


def at(*degrees: float) -> np.ndarray:
    """Unit vectors of the plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


TEXT = at(0)[0]


def test_unit_has_length_one_and_keeps_zero_and_its_argument() -> None:
    given = np.array([3, 4], np.float32)
    np.testing.assert_allclose(unit(given), [0.6, 0.8])
    assert given.tolist() == [3, 4]
    assert unit(np.zeros(3, np.float32)).tolist() == [0, 0, 0]
    assert unit(given).dtype == np.float32


def test_a_cosine_never_leaves_its_range() -> None:
    vector = np.full(3, 0.57735033, np.float32)
    assert cosine(vector, vector) == 1
    assert cosine(vector, -vector) == -1


def test_one_label_per_text_shares_the_probability() -> None:
    scored = zero_shot(TEXT, ["far", "near"], at(90, 60), temperature=0.5, multi_label=False)
    near, far = math.exp(0.5 / 0.5), math.exp(0 / 0.5)
    assert [one.label for one in scored] == ["near", "far"]
    assert scored[0].score == pytest.approx(near / (near + far))
    assert scored[1].score == pytest.approx(far / (near + far))
    assert scored[0].similarity == pytest.approx(0.5)


def test_several_labels_per_text_are_scored_apart() -> None:
    scored = zero_shot(TEXT, ["a", "b", "c"], at(180, 60, 0), temperature=0.5, multi_label=True)
    assert [(one.label, round(one.score, 6)) for one in scored] == [("c", 1), ("b", 0.5), ("a", 0)]


def test_a_small_temperature_overflows_nothing() -> None:
    scored = zero_shot(TEXT, ["a", "b"], at(0, 1), temperature=1e-9, multi_label=False)
    assert scored[0] == Scored("a", 1.0, pytest.approx(1))


def test_equals_stay_in_the_order_they_were_named() -> None:
    scored = zero_shot(TEXT, ["b", "a"], at(30, 30), temperature=1, multi_label=False)
    assert [one.label for one in scored] == ["b", "a"]


def test_the_nearest_centroid_is_the_mean_of_its_examples() -> None:
    scored = nearest_centroid(TEXT, at(20, 80, 40), ["x", "y", "x"], temperature=0.1)
    assert [one.label for one in scored] == ["x", "y"]
    assert scored[0].similarity == pytest.approx(math.cos(math.radians(30)))
    assert sum(one.score for one in scored) == pytest.approx(1)


def test_the_nearest_neighbors_vote_by_how_near_they_are() -> None:
    scored = nearest_neighbors(
        TEXT, at(10, 20, 25, 90), ["x", "y", "y", "z"], neighbors=3, temperature=1
    )
    votes = [math.exp(math.cos(math.radians(angle))) for angle in (10, 20, 25)]
    assert [one.label for one in scored] == ["y", "x", "z"]
    assert scored[0].score == pytest.approx((votes[1] + votes[2]) / sum(votes))
    assert scored[0].similarity == pytest.approx(math.cos(math.radians(20)))
    assert scored[2].score == 0
    assert scored[2].similarity == pytest.approx(0, abs=1e-6)
