"""Parting rows, and judging their labels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from trivet.errors import InvalidConfig
from trivet_backends.workshop.finetune import split
from trivet_backends.workshop.finetune.examples import Labelled, Plain, Tagged


def rows(**counts: int) -> list[Labelled]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [
        Labelled(line=line, text=f"{line}", pair=None, label=label)
        for line, label in enumerate(labels, 2)
    ]


def test_a_label_has_the_same_share_in_both_parts() -> None:
    parts = split.split(rows(a=100, b=20), 0.1, seed=1)
    held = Counter(row.label for row in parts.validation if isinstance(row, Labelled))
    assert held == {"a": 10, "b": 2}
    lines = [row.line for row in (*parts.training, *parts.validation)]
    assert sorted(lines) == list(range(2, 122))


def test_the_seed_decides_the_parts() -> None:
    one, again, other = (split.split(rows(a=50, b=50), 0.2, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.validation != other.validation


def test_rows_that_cannot_be_parted_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="2 rows cannot be parted"):
        split.split([Plain(line=1, text="a"), Plain(line=2, text="b")], 0.1, seed=0)


def test_labels_are_those_of_the_rows_or_those_asked_for() -> None:
    assert split.labels_of(rows(b=1, a=1), (), "f") == ("a", "b")
    assert split.labels_of(rows(b=1, a=1), ("b", "c", "a"), "f") == ("b", "c", "a")
    with pytest.raises(InvalidConfig, match="f, line 3: the label 'b' is not in --labels; add it"):
        split.labels_of(rows(a=1, b=2), ("a", "c"), "f")
    with pytest.raises(InvalidConfig, match="all rows are labelled 'a'; give rows of at least two"):
        split.labels_of(rows(a=9), (), "f")


def test_a_label_that_only_the_validation_has_is_refused_once_where_it_is_first() -> None:
    with pytest.raises(InvalidConfig) as error:
        split.check_known(rows(a=2, new=2), ("a", "b"), "dev.csv")
    assert error.value.message == (
        "dev.csv, line 4: the label 'new' is in no training row; "
        "mend it, or add training rows with it; known are a, b"
    )
    tagged = Tagged(line=1, words=("x", "y"), tags=("O", "NEW"), lines=(1, 2))
    with pytest.raises(InvalidConfig, match="line 2: the label 'NEW'"):
        split.check_known([tagged], ("O", "B-X"), "dev.conll")


def test_imbalance_is_told_with_the_cure() -> None:
    counts = split.balance(rows(often=900, rare=90), ("often", "rare"))
    first, second = split.balance_told(counts, balanced=False)
    assert first == "labels: often 900 (91%), rare 90 (9%)"
    assert "imbalance" in second
    assert second.endswith("--balance weighs them up")
    assert len(split.balance_told(counts, balanced=True)) == 1
    assert len(split.balance_told({"a": 10, "b": 9}, balanced=False)) == 1


def test_class_weights_are_inverse_to_counts_and_one_on_average() -> None:
    weights = split.class_weights({"often": 30, "rare": 10})
    assert weights[1] == pytest.approx(3 * weights[0])
    assert np.average(weights, weights=[30, 10]) == pytest.approx(1)
