"""embed and fill_mask, of both clients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.unit.client.fake_server import FakeServer, embedding_of
from trivet_client import Cost, errors

COST = Cost(tokens=7, truncated=True, queue_us=1, tokenize_us=2, compute_us=3)


def test_one_text_is_embedded_as_one_vector(client: Any) -> None:
    embedding = client.embed("two words")
    assert embedding.vector.dtype == np.float32
    assert embedding.vector.tolist() == [9, 2, 1]
    assert (embedding.model, embedding.version, embedding.cost) == ("embed", 3, COST)


def test_several_texts_are_embedded_as_rows_in_their_order(client: Any) -> None:
    texts = ["a", "two words", "three short words"]
    embeddings = client.embed(texts, model="other", version=5)
    assert embeddings.vectors.dtype == np.float32
    assert embeddings.vectors.tolist() == [embedding_of(text) for text in texts]
    assert (embeddings.model, embeddings.version) == ("other", 5)
    assert embeddings.costs == (COST, COST, COST)
    assert len(embeddings) == 3


def test_model_version_and_truncation_reach_the_server(client: Any, server: FakeServer) -> None:
    client.embed(["a"], model="m", version=4, truncate=True)
    (request,) = server.requests
    assert (request.model, request.version, request.truncate) == ("m", 4, True)


def test_the_latest_version_is_asked_for_as_zero(client: Any, server: FakeServer) -> None:
    client.embed(["a"])
    (request,) = server.requests
    assert (request.model, request.version, request.truncate) == ("embed", 0, False)


def test_one_text_gets_its_masks_filled(client: Any) -> None:
    text = client.fill_mask("a [MASK] and a [MASK]", top_k=np.int64(2))
    assert [mask.position for mask in text.masks] == [2, 5]
    best, second = text.masks[0].candidates
    assert (best.token, best.token_id, best.probability) == ("word1", 1, 0.5)
    assert (second.token, second.token_id, second.probability) == ("word2", 2, 0.25)
    assert (text.model, text.version, text.cost) == ("fill_mask", 3, COST)


@pytest.mark.parametrize("top_k", [-1, 2**32, 2.5, True, "3"])
def test_a_top_k_that_is_no_number_from_0_up_is_refused_by_its_name(
    client: Any, server: FakeServer, top_k: Any
) -> None:
    cure = f"top_k is {top_k!r}; give a whole number from 0 up"
    with pytest.raises(errors.InvalidArgument, match=re.escape(cure)):
        client.fill_mask("a [MASK]", top_k=top_k)
    with pytest.raises(errors.InvalidArgument, match=re.escape(cure)):
        next(iter(client.fill_mask_stream(["a [MASK]"], top_k=top_k)))
    assert server.requests == []


def test_several_texts_get_their_masks_filled_in_their_order(client: Any) -> None:
    texts = client.fill_mask(["[MASK]", "none", "[MASK] [MASK]"])
    assert [len(text.masks) for text in texts] == [1, 0, 2]
    assert len(texts[0].masks[0].candidates) == 5


def test_a_refused_text_fails_the_call_and_is_named(client: Any) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^texts\[1\]: refused$"):
        client.embed(["fine", "refuse"])


def test_an_answer_with_a_result_too_few_is_not_believed(client: Any) -> None:
    with pytest.raises(errors.Internal, match="2 texts were asked, but the server answered 1"):
        client.embed(["a", "b"], model="forgetful")


def test_headers_travel_with_every_call(connect: Any, server: FakeServer) -> None:
    connect(server.address, metadata={"x-tenant": "blue"}).embed("a")
    assert server.headers["x-tenant"] == "blue"
