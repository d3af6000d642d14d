"""What a caller may give by mistake is refused before anything is sent, by what to give instead."""

from __future__ import annotations

from typing import Any

import pytest

from trivet_client import Client
from trivet_client.errors import InvalidArgument
from trivet_client.messages import pairs, vectors
from trivet_client.messages.requests import Model

MODEL = Model(name="m", version=None)
ANSWERING = pairs.Answering(
    top_k=1, max_answer_tokens=30, no_answer_threshold=None, long_text=None, stride=None, window=0
)
NOWHERE = "127.0.0.1:1"
EXAMPLES: Any = ["up"]


@pytest.mark.parametrize("method", ["classify", "tokenize"])
def test_three_texts_in_a_tuple_are_no_pair(method: str) -> None:
    with (
        Client(NOWHERE) as client,
        pytest.raises(InvalidArgument, match="tuple of 2 texts, not 3; send texts as a list"),
    ):
        getattr(client, method)(("a", "b", "c"))


@pytest.mark.parametrize("method", ["classify", "tokenize"])
def test_an_item_of_a_list_that_is_no_pair_is_refused(method: str) -> None:
    with (
        Client(NOWHERE) as client,
        pytest.raises(InvalidArgument, match=r"\('a', 'b', 'c'\) is no pair; give a tuple of 2"),
    ):
        getattr(client, method)([("a", "b", "c")])


def test_the_letters_of_a_text_are_no_example() -> None:
    with (
        Client(NOWHERE) as client,
        pytest.raises(InvalidArgument, match="'up' is no pair; give a tuple of 2 texts"),
    ):
        client.few_shot("a text", EXAMPLES)


@pytest.mark.parametrize(
    "dialect",
    [
        vectors.SimilarityDialect(MODEL, False),
        pairs.NextSentenceDialect(MODEL, False),
        pairs.AnswerDialect(MODEL, ANSWERING),
    ],
)
def test_the_letters_of_a_text_are_no_pair_of_a_stream(dialect: Any) -> None:
    with pytest.raises(InvalidArgument, match="'up' is no pair; give a tuple of 2 texts"):
        dialect.request("up", 0)
