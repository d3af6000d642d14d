"""The text backend's tasks behind a trained head: labels, spans, answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidConfig, InvalidInput
from trivet.request import Tensors
from trivet_backends.text import TextBackend
from trivet_backends.text.answer import Answer
from trivet_backends.text.classify import Classify, sigmoid, unchanged
from trivet_backends.text.spans import rows_of_windows, softmax
from trivet_backends.text.tag_tokens import AGGREGATIONS, TagTokens

LABELS = np.array([b"bad", b"so so", b"good"], dtype=object)
NER = ("O", "B-PER", "I-PER", "B-LOC", "misc")


def opened(folder: Path, labels: str | None, count: int = -1, **parameters: str) -> None:
    if labels is not None:
        (folder / "labels.txt").write_text(labels, encoding="utf-8")
    config = ModelConfig(
        name="m",
        backend="text",
        max_batch_size=8,
        inputs=(TensorSpec(name="logits", datatype="FP32", dims=(count,)),),
        parameters={"task": "classify", **parameters},
    )
    context = LoadContext(version=1, path=folder, where="m/1", threads=1)
    TextBackend().open(config, context)


def tokens(
    text: str, words: Sequence[tuple[int, int, int, str]], rows: Sequence[Sequence[int]] = ((0, 0),)
) -> Tensors:
    """Inputs of tag_tokens: (begin, end, word, label) of each token, one window."""
    logits = np.full((1, len(words), len(NER)), -2.0, np.float32)
    for place, (_, _, _, label) in enumerate(words):
        logits[0, place, NER.index(label)] = 2 + place / 10
    return {
        "logits": logits,
        "offsets": np.array([[(begin, end) for begin, end, _, _ in words]]),
        "word_ids": np.array([[word for _, _, word, _ in words]]),
        "window": np.array(rows),
        "texts": np.array([[text.encode()]], object),
    }


def spans(inputs: Tensors, aggregation: str) -> list[tuple[str, int, int, str]]:
    tag = TagTokens(NER, AGGREGATIONS["first"])
    found = tag(inputs, {"aggregation": aggregation})
    columns = (found[name][0].tolist() for name in ("LABEL", "START", "END", "SPAN"))
    return [
        (label.decode(), start, end, span.decode())
        for label, start, end, span in zip(*columns, strict=True)
    ]


def passage(
    starts: Sequence[Sequence[float]], ends: Sequence[Sequence[float]], text: str = "a b c d e"
) -> Tensors:
    """Inputs of answer: [CLS], question, [SEP], then one-letter words of the passage, windows of
    the same text that each begin where the one before ended."""
    windows, width = len(starts), len(starts[0])
    inside = width - 3
    first = np.arange(windows)[:, None] * inside + np.arange(inside)
    offsets = np.zeros((windows, width, 2), np.int64)
    offsets[:, 3:] = np.stack([2 * first, 2 * first + 1], axis=2)
    word_ids = np.full((windows, width), -1)
    word_ids[:, 1], word_ids[:, 3:] = 0, first
    return {
        "start_logits": np.array(starts, np.float32),
        "end_logits": np.array(ends, np.float32),
        "offsets": offsets,
        "word_ids": word_ids,
        "sequence_ids": np.tile([-1, 0, -1, *[1] * inside], (windows, 1)),
        "window": np.array([(0, number * inside) for number in range(windows)]),
        "texts": np.array([[text.encode()]] * windows, object),
    }


def best(inputs: Tensors, **parameters: Any) -> list[tuple[str, int, int]]:
    found = Answer()(inputs, parameters)
    columns = (found[name][0].tolist() for name in ("ANSWER", "START", "END"))
    return [(text.decode(), a, b) for text, a, b in zip(*columns, strict=True)]


def test_labels_come_best_first_and_their_shares_make_one() -> None:
    logits = np.array([[0.0, 1.0, 3.0], [5.0, 1.0, 1.0]], np.float32)
    found = Classify(LABELS, softmax)({"logits": logits}, {})
    assert found["LABEL"].tolist() == [[b"good", b"so so", b"bad"], [b"bad", b"so so", b"good"]]
    np.testing.assert_allclose(found["SCORE"].sum(axis=1), 1, atol=1e-6)
    assert found["SCORE"].dtype == np.float32


def test_top_k_leaves_the_best() -> None:
    logits = np.array([[0.0, 1.0, 3.0]], np.float32)
    classify = Classify(LABELS, softmax)
    assert classify({"logits": logits}, {"top_k": 1})["LABEL"].tolist() == [[b"good"]]
    assert classify({"logits": logits}, {"top_k": 0})["LABEL"].shape == (1, 3)


@pytest.mark.parametrize("top_k", [-1, 4, 1.5, True, "2"])
def test_another_top_k_is_refused(top_k: Any) -> None:
    with pytest.raises(InvalidInput, match="send 1 to 3, the number of labels, or 0 for all"):
        Classify(LABELS, softmax)({"logits": np.zeros((1, 3), np.float32)}, {"top_k": top_k})


def test_a_sigmoid_is_exact_for_large_numbers_of_either_sign() -> None:
    logits = np.array([[-200.0, 0.0, 200.0]], np.float32)
    assert sigmoid(logits).tolist() == [[0.0, 0.5, 1.0]]


def test_the_number_of_a_regression_is_left_as_it_is() -> None:
    one = Classify(LABELS[:1], unchanged)
    assert one({"logits": np.array([[3.5]], np.float32)}, {})["SCORE"].tolist() == [[3.5]]


def test_another_number_of_logits_than_labels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has 2 numbers for each text, and there are 3 labels"):
        Classify(LABELS, softmax)({"logits": np.zeros((1, 2), np.float32)}, {})


@pytest.mark.parametrize(
    ("labels", "count", "told"),
    [
        (None, -1, r"m/1/labels.txt: no such file"),
        ("", -1, r"has 0 labels; write one for each number of 'logits'"),
        ("a\nb\na\n", -1, r"line 3: is 'a' again; give each output of the model a label"),
        ("a\n\nb\n", -1, r"line 2: is empty"),
        ("a\nb\n", 3, r"has 2 labels"),
    ],
)
def test_labels_that_are_no_good_are_refused_at_load(
    tmp_path: Path, labels: str | None, count: int, told: str
) -> None:
    with pytest.raises(InvalidConfig, match=told):
        opened(tmp_path, labels, count)


def test_an_unknown_scoring_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="use one of softmax, sigmoid, none"):
        opened(tmp_path, "a\nb\n", scoring="linear")


ADA = "Ada Lovelace of Rome"
ADA_TOKENS = [
    (0, 0, -1, "O"),  # [CLS]
    (0, 3, 0, "B-PER"),
    (4, 8, 1, "I-PER"),
    (8, 12, 1, "B-LOC"),  # a piece that says something else than its word
    (13, 15, 2, "O"),
    (16, 20, 3, "B-LOC"),
]


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (
            "none",
            [
                ("B-PER", 0, 3, "Ada"),
                ("I-PER", 4, 8, "Love"),
                ("B-LOC", 8, 12, "lace"),
                ("B-LOC", 16, 20, "Rome"),
            ],
        ),
        (
            "simple",
            [("PER", 0, 8, "Ada Love"), ("LOC", 8, 12, "lace"), ("LOC", 16, 20, "Rome")],
        ),
        ("first", [("PER", 0, 12, "Ada Lovelace"), ("LOC", 16, 20, "Rome")]),
        ("max", [("PER", 0, 3, "Ada"), ("LOC", 4, 12, "Lovelace"), ("LOC", 16, 20, "Rome")]),
        ("average", [("PER", 0, 3, "Ada"), ("LOC", 4, 12, "Lovelace"), ("LOC", 16, 20, "Rome")]),
    ],
)
def test_pieces_become_spans_as_asked(
    aggregation: str, expected: list[tuple[str, int, int, str]]
) -> None:
    assert spans(tokens(ADA, ADA_TOKENS), aggregation) == expected


def test_b_begins_another_span_of_the_same_kind() -> None:
    found = spans(
        tokens("a b c", [(0, 1, 0, "B-PER"), (2, 3, 1, "B-PER"), (4, 5, 2, "I-PER")]), "first"
    )
    assert found == [("PER", 0, 1, "a"), ("PER", 2, 5, "b c")]


def test_labels_without_b_and_i_are_grouped_with_themselves() -> None:
    found = spans(tokens("a b c", [(0, 1, 0, "misc"), (2, 3, 1, "misc"), (4, 5, 2, "O")]), "first")
    assert found == [("misc", 0, 3, "a b")]


def test_a_span_has_the_mean_score_of_its_words() -> None:
    inputs = tokens("a b", [(0, 1, 0, "B-PER"), (2, 3, 1, "I-PER")])
    shares = softmax(inputs["logits"])[0].max(axis=1)
    found = TagTokens(NER, AGGREGATIONS["first"])(inputs, {})
    assert found["SCORE"].tolist() == [[pytest.approx(shares.mean())]]


def test_a_text_without_spans_has_none() -> None:
    found = TagTokens(NER, AGGREGATIONS["first"])(tokens("a", [(0, 1, 0, "O")]), {})
    assert [array.shape for array in found.values()] == [(1, 0)] * 5


def test_places_are_characters_not_bytes() -> None:
    text = "東京💡 Ada"
    assert spans(tokens(text, [(4, 7, 0, "B-PER")]), "first") == [("PER", 4, 7, "Ada")]


def test_of_windows_that_share_tokens_each_gives_the_half_farther_from_its_edge() -> None:
    inputs = {
        "logits": np.zeros((2, 6, len(NER)), np.float32),
        "offsets": np.array([[(n, n + 1) for n in range(6)], [(n + 2, n + 3) for n in range(6)]]),
        "word_ids": np.array([range(6), range(2, 8)]),
        "window": np.array([(0, 0), (0, 2)]),
        "texts": np.array([[b"abcdefgh"]] * 2, object),
    }
    inputs["logits"][0, :, NER.index("B-PER")] = 5
    inputs["logits"][1, :, NER.index("B-LOC")] = 5
    assert [(label, span) for label, _, _, span in spans(inputs, "none")] == [
        *[("B-PER", letter) for letter in "abcd"],
        *[("B-LOC", letter) for letter in "efgh"],
    ]


@pytest.mark.parametrize("asked", ["last", "", 1, True])
def test_an_unknown_aggregation_is_refused(asked: Any) -> None:
    with pytest.raises(InvalidInput, match="send one of none, simple, first, max, average"):
        TagTokens(NER, AGGREGATIONS["first"])(tokens("a", [(0, 1, 0, "O")]), {"aggregation": asked})


def test_tensors_that_do_not_belong_together_are_refused() -> None:
    inputs = dict(tokens(ADA, ADA_TOKENS))
    inputs["word_ids"] = inputs["word_ids"][:, 1:]
    with pytest.raises(InvalidInput, match="inputs disagree on"):
        TagTokens(NER, AGGREGATIONS["first"])(inputs, {})


def test_windows_are_told_apart_by_their_text() -> None:
    window = np.array([(0, 0), (1, 0), (1, 5), (2, 0)])
    assert list(rows_of_windows(window)) == [slice(0, 1), slice(1, 3), slice(3, 4)]
    for wrong in ([(1, 0)], [(0, 0), (2, 0)], [(0, 0), (1, 0), (0, 0)]):
        with pytest.raises(InvalidInput, match="does not number the texts"):
            list(rows_of_windows(np.array(wrong)))


def test_the_best_pair_of_begin_and_end_is_the_answer() -> None:
    inputs = passage([[9, 9, 9, 0, 3, 0, 0, 0]], [[9, 9, 9, 0, 0, 2, 0, 4]])
    assert best(inputs) == [("b c d e", 2, 9)]
    assert best(inputs, max_answer_tokens=2) == [("b c", 2, 5)]


def test_an_end_before_its_begin_is_no_answer() -> None:
    inputs = passage([[0, 0, 0, 0, 0, 0, 0, 5]], [[0, 0, 0, 5, 0, 0, 0, 1]])
    assert best(inputs) == [("e", 8, 9)]


def test_probabilities_of_all_spans_without_a_bound_and_all_other_pairs_make_one() -> None:
    random = np.random.default_rng(3)
    starts, ends = random.normal(size=(2, 1, 8)) * 2
    found = Answer()(passage(starts, ends), {"top_k": 15, "max_answer_tokens": 5})
    shares = np.outer(softmax(starts[0, 3:]), softmax(ends[0, 3:]))
    assert found["PROBABILITY"].sum() == pytest.approx(np.triu(shares).sum(), abs=1e-5)
    assert found["NO_ANSWER"].tolist() == [[0]]


def test_answers_are_looked_for_in_every_window() -> None:
    starts = [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 4, 0]]
    ends = [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 4, 0]]
    found = best(passage(starts, ends, "a b c d e f"), top_k=2)
    assert found[0] == ("e", 8, 9)


def test_the_same_place_in_two_windows_is_one_answer() -> None:
    inputs = passage([[0, 0, 0, 5, 0]] * 2, [[0, 0, 0, 5, 0]] * 2)
    inputs["offsets"][1] = inputs["offsets"][0]
    found = best(inputs, top_k=9)
    assert len([one for one in found if one[1] == 0 and one[2] == 1]) == 1
    assert found[-1] == ("", -1, -1)  # fewer answers than asked for


def test_an_answer_ends_where_its_word_ends() -> None:
    inputs = passage([[0, 0, 0, 0, 5, 0]], [[0, 0, 0, 0, 5, 0]], "abcdef")
    inputs["word_ids"][0, 3:] = 0  # three pieces of one word
    assert best(inputs) == [("abcde", 0, 5)]


@pytest.mark.parametrize(
    ("threshold", "answers"), [(-1.0, 1), (0.9, 1), (1.0, 0), (1.1, 0), (5, 0)]
)
def test_an_answer_must_exceed_none_by_the_threshold(threshold: float, answers: int) -> None:
    """Devlin et al. 2019, section 4.3; the best answer's score is 3, that of none 2."""
    inputs = passage([[1, 0, 0, 0, 2, 0]], [[1, 0, 0, 0, 1, 0]])
    found = Answer()(inputs, {"no_answer_threshold": threshold})
    assert int((found["START"] >= 0).sum()) == answers
    shares = softmax(np.array([1.0, 0, 2, 0]))[0] * softmax(np.array([1.0, 0, 1, 0]))[0]
    assert found["NO_ANSWER"][0, 0] == pytest.approx(shares, rel=1e-5)


def test_no_answer_is_only_as_good_as_in_the_window_that_says_least_of_it() -> None:
    inputs = passage(
        [[9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 2, 0]], [[9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 2, 0]]
    )
    assert best(inputs, no_answer_threshold=0.0)[0][1:] == (8, 9)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"top_k": 0}, "'top_k' is 0; send a whole number from 1 to 512"),
        ({"max_answer_tokens": 513}, "'max_answer_tokens' is 513"),
        ({"no_answer_threshold": float("nan")}, "'no_answer_threshold' is nan; send a number"),
        ({"no_answer_threshold": True}, "'no_answer_threshold' is True; send a number"),
    ],
)
def test_parameters_out_of_their_range_are_refused(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Answer()(passage([[0] * 5], [[0] * 5]), parameters)


def test_a_window_without_a_passage_is_refused() -> None:
    inputs = passage([[0] * 5], [[0] * 5])
    inputs["sequence_ids"][:] = 0
    with pytest.raises(InvalidInput, match="holds nothing of the passage"):
        Answer()(inputs, {})


def test_many_equal_scores_give_as_many_answers_as_asked_for() -> None:
    inputs = passage([[0.0] * 103], [[0.0] * 103], " ".join("a" * 100))
    places = {(begin, end) for _, begin, end in best(inputs, top_k=512)}
    assert len(places) == 512
    assert (-1, -1) not in places
