"""Streams of both clients: order, failures in place, the bound, what breaks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.unit.client.fake_server import embedding_of
from trivet_client import Failure, InferRequest, InferResult, errors


def test_every_text_gets_its_own_answer(client: Any) -> None:
    texts = [f"{'word ' * (n % 7)}{n}" for n in range(300)]
    answers = dict(client.embed_stream(iter(texts)))
    assert {index: answer.vector.tolist() for index, answer in answers.items()} == {
        index: embedding_of(text) for index, text in enumerate(texts)
    }


def test_an_answer_comes_when_it_is_ready_not_in_turn(client: Any) -> None:
    indexes = [index for index, _ in client.embed_stream(["late", "a", "b"])]
    assert indexes == [1, 2, 0]


def test_a_refused_text_fails_alone(client: Any) -> None:
    answers = dict(client.embed_stream(["a", "refuse", "b"]))
    expected = Failure(code=grpc.StatusCode.INVALID_ARGUMENT, message="refused")
    assert answers[1] == expected
    assert [answers[0].vector[0], answers[2].vector[0]] == [1, 1]
    with pytest.raises(errors.InvalidArgument, match=r"^refused$"):
        raise answers[1].error()


def test_masks_are_filled_in_a_stream(client: Any) -> None:
    answers = dict(client.fill_mask_stream(["a [MASK]", "refuse"], top_k=3))
    assert [c.token for c in answers[0].masks[0].candidates] == ["word1", "word2", "word3"]
    assert answers[1].code is grpc.StatusCode.INVALID_ARGUMENT


def test_no_texts_no_answers(client: Any) -> None:
    assert list(client.embed_stream([])) == []


def test_texts_are_taken_only_as_answers_make_room(client: Any) -> None:
    taken = answered = furthest_ahead = 0

    def texts() -> Iterator[str]:
        nonlocal taken, furthest_ahead
        for taken in range(1, 4001):
            furthest_ahead = max(furthest_ahead, taken - answered)
            yield "text"

    # The server answers four at a time: fewer in flight and the stream would stand still.
    for _ in client.embed_stream(texts(), model="in fours", in_flight=4):
        answered += 1
    assert answered == 4000
    assert furthest_ahead <= 4 + 1  # one answer is read, but not yet counted here


def test_what_the_texts_raise_comes_after_the_answers_before_it(client: Any) -> None:
    def texts() -> Iterator[str]:
        yield "a"
        yield "b"
        raise OSError("the file ended badly")

    stream = client.embed_stream(texts())
    assert [next(stream)[0], next(stream)[0]] == [0, 1]
    with pytest.raises(OSError, match="the file ended badly"):
        next(stream)


def test_a_text_that_is_no_text_is_reported_to_its_sender(client: Any) -> None:
    with pytest.raises(TypeError):
        list(client.embed_stream(["a", 7]))


def test_a_stream_that_the_server_breaks_raises_its_status(client: Any) -> None:
    stream = client.embed_stream(["a", "break", "b"])
    assert next(stream)[0] == 0
    with pytest.raises(errors.Unavailable, match=r"^draining; retry later$"):
        next(stream)


def test_a_stream_broken_while_it_is_written_keeps_the_server_s_status(client: Any) -> None:
    for _ in range(100):  # grpc.aio puts a status of its own in place of every fourth
        with pytest.raises(errors.Unavailable, match=r"^draining; retry later$"):
            list(client.embed_stream(["break", *"abcdefgh"]))


def test_a_stream_that_ends_too_early_is_not_taken_for_complete(client: Any) -> None:
    with pytest.raises(errors.Internal, match="the stream ended with"):
        list(client.embed_stream(["a", "end", "b", "c"]))


def test_an_answer_to_nobody_is_not_believed(client: Any) -> None:
    with pytest.raises(errors.Internal, match="an answer to 'nobody's' came"):
        list(client.embed_stream(["misrouted"]))


def test_nothing_in_flight_is_refused(client: Any) -> None:
    with pytest.raises(errors.InvalidArgument, match="in_flight is 0"):
        next(client.embed_stream(["a"], in_flight=0))


def request(model: str, value: int, request_id: str = "") -> InferRequest:
    return InferRequest(
        model=model, inputs={"x": np.array([value], np.int64)}, request_id=request_id
    )


def test_tensors_are_answered_in_order_and_failures_in_place(client: Any) -> None:
    requests = [request("echo", 1), request("missing", 2, "mine"), request("echo", 3)]
    answers = list(client.infer_stream(requests))
    assert [index for index, _ in answers] == [0, 1, 2]
    first, second, third = (answer for _, answer in answers)
    assert (first.outputs["x"].tolist(), third.outputs["x"].tolist()) == ([1], [3])
    assert second == Failure(code=grpc.StatusCode.UNKNOWN, message="no such model")


def test_a_decoupled_model_answers_until_the_final_one(client: Any) -> None:
    requests = [request("decoupled", value) for value in range(5)]
    answers = list(client.infer_stream(requests, in_flight=1))
    assert [index for index, _ in answers] == [i for i in range(5) for _ in range(3)]
    results = [answer for _, answer in answers if isinstance(answer, InferResult)]
    assert [result.final for result in results] == [False, False, True] * 5
    assert results[0].outputs["x"].tolist() == [0]
    assert not results[2].outputs


def test_two_requests_in_flight_do_not_share_an_id(client: Any) -> None:
    requests = [request("late", 1, "same"), request("echo", 2, "same")]
    with pytest.raises(errors.InvalidArgument, match="request id 'same' is in flight already"):
        list(client.infer_stream(requests))
