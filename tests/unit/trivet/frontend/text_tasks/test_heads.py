"""Requests and results of the tasks of models with a trained head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.answer import ANSWER, MAX_SHARED
from trivet.frontend.text_tasks.classify import CLASSIFY
from trivet.frontend.text_tasks.next_sentence import NEXT_SENTENCE
from trivet.frontend.text_tasks.tag_tokens import TAG_TOKENS
from trivet.request import Tensors
from trivet_protos.generated import text_pb2 as pb


def words(*texts: str) -> np.ndarray:
    return np.array([[text.encode() for text in texts]], object)


def read(inputs: Tensors) -> dict[str, list[list[str]]]:
    return {name: [[text.decode() for text in row] for row in a] for name, a in inputs.items()}


def test_a_text_is_asked_without_a_pair() -> None:
    asked = pb.ClassifyRequest(texts=["a", "b"], truncate=True)
    assert [read(CLASSIFY.inputs(item)) for item in CLASSIFY.items(asked)] == [
        {"TEXT": [["a"]]},
        {"TEXT": [["b"]]},
    ]
    assert CLASSIFY.parameters(asked) == {"truncate": True}


def test_pairs_are_asked_by_their_two_texts() -> None:
    asked = pb.ClassifyRequest(texts=["a", "b"], text_pairs=["c", "d"], top_k=2)
    assert [read(CLASSIFY.inputs(item)) for item in CLASSIFY.items(asked)] == [
        {"TEXT": [["a"]], "TEXT_PAIR": [["c"]]},
        {"TEXT": [["b"]], "TEXT_PAIR": [["d"]]},
    ]
    assert CLASSIFY.parameters(asked)["top_k"] == 2


def test_an_empty_second_text_of_a_stream_is_a_pair_all_the_same() -> None:
    asked = pb.ClassifyStreamRequest(text="a", text_pair="")
    assert CLASSIFY.item(asked) == ("a", "")
    assert CLASSIFY.item(pb.ClassifyStreamRequest(text="a")) == ("a", None)


@pytest.mark.parametrize(
    ("task", "asked", "told"),
    [
        (
            CLASSIFY,
            pb.ClassifyRequest(texts=["a", "b"], text_pairs=["c"]),
            "Classify: 2 texts and 1 text_pairs; send one of text_pairs for each of texts",
        ),
        (
            NEXT_SENTENCE,
            pb.NextSentenceRequest(texts=["a"]),
            "NextSentence: 1 texts and 0 next_texts; send one of next_texts for each of texts",
        ),
        (
            ANSWER,
            pb.AnswerRequest(questions=["a", "b"]),
            "Answer: 2 questions and 0 passages; send a passage for each question, or one for all",
        ),
        (
            ANSWER,
            pb.AnswerRequest(questions=["a"], passages=["b", "c"]),
            "Answer: 1 questions and 2 passages; send a passage for each question, or one for all",
        ),
    ],
)
def test_lists_of_different_lengths_are_refused(task: Any, asked: Any, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        task.items(asked)
    assert refused.value.message == told


def test_one_passage_is_for_all_questions() -> None:
    asked = pb.AnswerRequest(questions=["a", "b"], passages=["p"])
    assert ANSWER.items(asked) == [("a", "p"), ("b", "p")]
    assert read(ANSWER.inputs(("a", "p"))) == {"QUESTION": [["a"]], "PASSAGE": [["p"]]}


def test_a_passage_for_many_questions_is_bounded_by_what_has_to_be_read() -> None:
    passage = "p" * (MAX_SHARED // 1000 + 1)
    assert len(ANSWER.items(pb.AnswerRequest(questions=["q"] * 999, passages=[passage]))) == 999
    with pytest.raises(InvalidInput, match="send fewer questions in a call"):
        ANSWER.items(pb.AnswerRequest(questions=["q"] * 1000, passages=[passage]))


@pytest.mark.parametrize(
    ("item", "told"), [((" ", "p"), "the question is empty"), (("q", ""), "the passage is empty")]
)
def test_a_question_or_passage_without_a_word_is_refused(item: tuple[str, str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        ANSWER.inputs(item)


def test_what_is_not_said_of_an_answer_is_left_to_the_model() -> None:
    assert ANSWER.parameters(pb.AnswerRequest()) == {}


def test_what_is_said_of_an_answer_becomes_parameters() -> None:
    asked = pb.AnswerStreamRequest(
        long_text=pb.LONG_TEXT_WINDOW,
        stride=0,
        window=100,
        top_k=3,
        max_answer_tokens=9,
        no_answer_threshold=0.0,
    )
    assert ANSWER.parameters(asked) == {
        "long_text": "window",
        "stride": 0,
        "window": 100,
        "top_k": 3,
        "max_answer_tokens": 9,
        "no_answer_threshold": 0.0,
    }


def test_what_is_said_of_spans_becomes_parameters() -> None:
    assert TAG_TOKENS.parameters(pb.TagTokensRequest()) == {}
    asked = pb.TagTokensRequest(aggregation=pb.AGGREGATION_AVERAGE, long_text=pb.LONG_TEXT_TRUNCATE)
    expected = {"aggregation": "average", "long_text": "truncate"}
    assert TAG_TOKENS.parameters(asked) == expected


@pytest.mark.parametrize(
    ("task", "asked", "told"),
    [
        (
            TAG_TOKENS,
            pb.TagTokensRequest(aggregation=9),  # type: ignore[arg-type]
            "aggregation is 9, which is unknown here; send one of NONE, SIMPLE, FIRST",
        ),
        (
            ANSWER,
            pb.AnswerRequest(long_text=7),  # type: ignore[arg-type]
            "long_text is 7, which is unknown here; send one of REFUSE, TRUNCATE, WINDOW",
        ),
    ],
)
def test_a_number_that_is_no_word_of_an_enum_is_refused(task: Any, asked: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        task.parameters(asked)


def test_labels_are_written_as_they_come() -> None:
    result = pb.ClassifyResult()
    scores = np.array([[0.75, 0.25]], np.float32)
    CLASSIFY.fill(result, {"LABEL": words("gut", "schlecht"), "SCORE": scores})
    assert [(one.label, one.score) for one in result.labels] == [("gut", 0.75), ("schlecht", 0.25)]


def test_what_only_fills_up_a_row_of_spans_is_left_out() -> None:
    result = pb.TagTokensResult()
    TAG_TOKENS.fill(
        result,
        {
            "LABEL": words("PER", ""),
            "SCORE": np.array([[0.5, 0]], np.float32),
            "START": np.array([[3, -1]]),
            "END": np.array([[6, -1]]),
            "SPAN": words("Ada", ""),
        },
    )
    assert list(result.spans) == [pb.TaggedSpan(label="PER", score=0.5, start=3, end=6, text="Ada")]


def test_a_question_without_an_answer_has_its_probability_alone() -> None:
    result = pb.AnswerResult()
    ANSWER.fill(
        result,
        {
            "ANSWER": words(""),
            "PROBABILITY": np.zeros((1, 1), np.float32),
            "START": np.array([[-1]]),
            "END": np.array([[-1]]),
            "NO_ANSWER": np.array([[0.5]], np.float32),
        },
    )
    assert result == pb.AnswerResult(no_answer_probability=0.5)


def test_the_first_of_two_probabilities_is_that_the_text_follows() -> None:
    result = pb.NextSentenceResult()
    NEXT_SENTENCE.fill(result, {"PROBABILITY": np.array([[0.25, 0.75]], np.float32)})
    assert result.probability == 0.25
