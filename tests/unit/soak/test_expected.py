"""A soak that cannot tell a wrong answer is worth nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.soak.expected import SCORE_TOLERANCE, VECTOR_TOLERANCE, Expected, check_close, compare
from tests.soak.tally import Wrong
from trivet_client import Candidate, Cost, FilledMask, FilledText
from trivet_client.head_values import ClassifiedText, LabelScore

COST = Cost(tokens=3, truncated=False, queue_us=0, tokenize_us=0, compute_us=0)
VECTOR = np.linspace(-1, 1, 8, dtype=np.float32)


def filled(*probabilities: float, tokens: Sequence[str] = ("cat", "dog", "hen")) -> FilledText:
    candidates = tuple(
        Candidate(token=token, token_id=number, probability=probability)
        for number, (token, probability) in enumerate(zip(tokens, probabilities, strict=True))
    )
    mask = FilledMask(position=2, candidates=candidates)
    return FilledText(masks=(mask,), cost=COST, model="fill_mask", version=1)


def classified(**scores: float) -> ClassifiedText:
    labels = tuple(LabelScore(label=label, score=score) for label, score in scores.items())
    return ClassifiedText(labels=labels, cost=COST, model="classify", version=1)


EXPECTED = Expected(
    embedded=[VECTOR],
    masked=[filled(0.5, 0.2, 0.1)],
    labelled=[],
    classified=[classified(good=0.75, bad=0.25)],
    tokenized=[],
)
NEAR = SCORE_TOLERANCE / 2
RIGHT: dict[str, Callable[[], None]] = {
    "the same vector": lambda: EXPECTED.check_embedding(0, VECTOR),
    "last digits": lambda: EXPECTED.check_embedding(0, VECTOR + VECTOR_TOLERANCE / 2),
    "the same tokens": lambda: EXPECTED.check_masks(0, filled(0.5, 0.2, 0.1)),
    "probabilities near": lambda: EXPECTED.check_masks(0, filled(0.5 + NEAR, 0.2 - NEAR, 0.1)),
    "one as good as the last": lambda: EXPECTED.check_masks(
        0, filled(0.5, 0.2, 0.1, tokens=("cat", "dog", "cow"))
    ),
    "another order": lambda: EXPECTED.check_classes(0, classified(bad=0.25, good=0.75)),
}
WRONG: dict[str, Callable[[], None]] = {
    "another vector": lambda: EXPECTED.check_embedding(0, VECTOR[::-1]),
    "a shorter vector": lambda: EXPECTED.check_embedding(0, VECTOR[:4]),
    "no number": lambda: EXPECTED.check_embedding(0, VECTOR * np.float32(np.nan)),
    "other probabilities": lambda: EXPECTED.check_masks(0, filled(0.5, 0.3, 0.1)),
    "tokens changed places": lambda: EXPECTED.check_masks(
        0, filled(0.5, 0.2, 0.1, tokens=("dog", "cat", "hen"))
    ),
    "another first token": lambda: EXPECTED.check_masks(
        0, filled(0.5, 0.2, 0.1, tokens=("cow", "dog", "hen"))
    ),
    "another mask": lambda: EXPECTED.check_masks(0, replace(filled(0.5, 0.2, 0.1), masks=())),
    "other labels": lambda: EXPECTED.check_classes(0, classified(good=0.75, worse=0.25)),
    "other scores": lambda: EXPECTED.check_classes(0, classified(good=0.25, bad=0.75)),
}


@pytest.mark.parametrize("check", RIGHT.values(), ids=RIGHT)
def test_what_differs_in_its_last_digits_is_right(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("check", WRONG.values(), ids=WRONG)
def test_what_differs_by_more_is_wrong(check: Callable[[], None]) -> None:
    with pytest.raises(Wrong):
        check()


def test_a_tolerance_is_not_passed() -> None:
    check_close(np.array([1.0]), np.array([1.5]), 0.5, "it")
    with pytest.raises(Wrong, match=r"it: off by 0\.5"):
        check_close(np.array([1.0]), np.array([1.5]), 0.49, "it")


def test_what_changed_while_it_was_loaded_is_told() -> None:
    assert compare(EXPECTED, EXPECTED) == []
    changed = replace(EXPECTED, embedded=[VECTOR + 1], classified=[classified(good=1.0, bad=0.0)])
    told = compare(EXPECTED, changed)
    assert len(told) == 2
    assert "embedding of text 0" in told[0]
    assert "classes of text 0" in told[1]
