"""Messages of the tasks of models with a trained head, as both clients write and read them."""

from __future__ import annotations

from typing import Any

import pytest

from trivet_client import Failure, LabelScore, TaggedSpan, errors
from trivet_client.messages import labels, pairs
from trivet_client.messages.labels import Tagging
from trivet_client.messages.pairs import Answering
from trivet_client.messages.requests import Model, listed_pairs
from trivet_client.messages.results import answers_of
from trivet_protos.generated import text_pb2 as pb

MODEL = Model(name="m", version=4)
COST = pb.Cost(tokens=5, windows=2)


def tagging(**said: Any) -> Tagging:
    return Tagging(**{"aggregation": None, "long_text": None, "stride": None} | said)


def answering(**said: Any) -> Answering:
    usual = {
        "top_k": 1,
        "max_answer_tokens": 30,
        "no_answer_threshold": None,
        "long_text": None,
        "stride": None,
        "window": 0,
    }
    return Answering(**usual | said)


@pytest.mark.parametrize("name", ["top_k", "max_answer_tokens", "stride", "window"])
def test_numbers_of_an_answer_are_refused_by_their_names(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"{name} is -1; give a whole number from 0"):
        answering(**{name: -1})


def test_numbers_of_other_tasks_are_refused_by_their_names() -> None:
    with pytest.raises(errors.InvalidArgument, match="stride is -1"):
        tagging(stride=-1)
    with pytest.raises(errors.InvalidArgument, match="top_k is -1"):
        labels.classify_request(["a"], MODEL, -1, False)
    with pytest.raises(errors.InvalidArgument, match="top_k is -1"):
        labels.ClassifyDialect(MODEL, -1, False)


def test_texts_and_pairs_travel_in_their_own_fields() -> None:
    request = labels.classify_request(["a", "b"], MODEL, 2, True)
    assert request == pb.ClassifyRequest(
        model="m", version=4, texts=["a", "b"], top_k=2, truncate=True
    )
    request = labels.classify_request([("a", "b"), ("c", "")], MODEL, 0, False)
    assert (list(request.texts), list(request.text_pairs)) == (["a", "c"], ["b", ""])


def test_a_mixture_of_texts_and_pairs_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match=r"1 of 2 are pairs"):
        labels.classify_request(["a", ("b", "c")], MODEL, 0, False)


def test_a_tuple_is_a_pair_and_a_list_is_several() -> None:
    assert listed_pairs("a") == ["a"]
    assert listed_pairs(("a", "b")) == [("a", "b")]
    assert listed_pairs(["a", "b"]) == ["a", "b"]
    with pytest.raises(errors.InvalidArgument, match="a tuple of 2 texts, not 3"):
        listed_pairs(("a", "b", "c"))


def test_what_is_not_said_is_not_sent() -> None:
    request = labels.tag_tokens_request(["a"], Model(name="m", version=None), tagging())
    assert request == pb.TagTokensRequest(model="m", texts=["a"])
    asked = pairs.answer_request(["q"], ["p"], MODEL, answering())
    assert not asked.HasField("stride")
    assert not asked.HasField("no_answer_threshold")


def test_nought_is_sent_where_it_means_something() -> None:
    asked = pairs.answer_request(
        ["q"], ["p"], MODEL, answering(stride=0, no_answer_threshold=0.0, long_text="window")
    )
    assert asked.HasField("stride")
    assert asked.HasField("no_answer_threshold")
    assert asked.long_text == pb.LONG_TEXT_WINDOW


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (
            lambda: labels.tag_tokens_request(["a"], MODEL, tagging(aggregation="last")),
            "aggregation is 'last'; give one of none, simple, first, max, average",
        ),
        (
            lambda: labels.TagTokensDialect(MODEL, tagging(long_text="cut")),
            "long_text is 'cut'; give one of refuse, truncate, window",
        ),
        (
            lambda: pairs.AnswerDialect(MODEL, answering(long_text="cut")),
            "long_text is 'cut'; give one of refuse, truncate, window",
        ),
    ],
)
def test_an_unknown_word_is_refused_before_it_is_sent(ask: Any, told: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        ask()
    assert refused.value.message == told


def test_answers_are_values() -> None:
    label = pb.LabelScore(label="good", score=0.5)
    response = pb.ClassifyResponse(
        model_name="m", model_version=4, results=[pb.ClassifyResult(labels=[label], cost=COST)]
    )
    (text,) = answers_of(response, 1, labels.classified)
    assert text.labels == (LabelScore(label="good", score=0.5),)
    assert (text.model, text.version, text.cost.windows) == ("m", 4, 2)
    span = pb.TaggedSpan(label="PER", score=0.5, start=1, end=4, text="Ada")
    tagged = labels.tagged(pb.TagTokensResponse(), pb.TagTokensResult(spans=[span]))
    assert tagged.spans == (TaggedSpan(label="PER", score=0.5, start=1, end=4, text="Ada"),)
    assert tagged.cost.windows == 1  # of a server that does not tell


def test_an_answer_of_another_size_is_an_error() -> None:
    with pytest.raises(errors.Internal, match="1 texts were asked, but the server answered 0"):
        answers_of(pb.ClassifyResponse(), 1, labels.classified)


@pytest.mark.parametrize(
    ("dialect", "response"),
    [
        (labels.ClassifyDialect(MODEL, 0, False), pb.ClassifyStreamResponse),
        (labels.TagTokensDialect(MODEL, tagging()), pb.TagTokensStreamResponse),
        (pairs.AnswerDialect(MODEL, answering()), pb.AnswerStreamResponse),
        (pairs.NextSentenceDialect(MODEL, False), pb.NextSentenceStreamResponse),
    ],
)
def test_a_refused_item_of_a_stream_is_a_failure_of_its_own(dialect: Any, response: Any) -> None:
    reply = dialect.reply(response(id="7", error=pb.Error(code=3, message="no")))
    assert reply.request_id == "7"
    assert isinstance(reply.answer, Failure)
    assert (reply.answer.code.name, reply.answer.message) == ("INVALID_ARGUMENT", "no")


def test_a_streams_items_travel_one_by_one() -> None:
    request_id, asked = pairs.AnswerDialect(MODEL, answering(top_k=2)).request(("q", "p"), 3)
    assert (request_id, asked.id, asked.question, asked.passage) == ("3", "3", "q", "p")
    _, one = labels.ClassifyDialect(MODEL, 0, False).request("a", 0)
    assert not one.HasField("text_pair")
    _, pair = labels.ClassifyDialect(MODEL, 0, False).request(("a", ""), 1)
    assert pair.HasField("text_pair")
    _, follows = pairs.NextSentenceDialect(MODEL, True).request(("a", "b"), 2)
    assert (follows.text, follows.next_text, follows.truncate) == ("a", "b", True)
