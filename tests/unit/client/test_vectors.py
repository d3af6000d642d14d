"""Messages of the tasks without heads, refused before anything is sent; and the pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.toolchains import needs
from trivet_client import Cost, InspectedText
from trivet_client.errors import Internal, InvalidArgument
from trivet_client.messages import text, tokens, vectors
from trivet_client.messages.requests import Model
from trivet_client.messages.results import answers_of
from trivet_client.plot import plot_attention
from trivet_protos.generated import text_pb2 as pb

MODEL = Model(name="m", version=None)
COST = Cost(tokens=3, truncated=False, queue_us=0, tokenize_us=0, compute_us=0)


def inspected(count: int = 5, heads: int = 4, **changes: Any) -> InspectedText:
    shares = np.random.default_rng(1).random((heads, count, count), np.float32)
    values = {
        "vector": np.zeros(2, np.float32),
        "tokens": tuple(f"t{n}" for n in range(count)),
        "hidden_state": None,
        "attention": shares / shares.sum(axis=2, keepdims=True),
        "cost": COST,
        "model": "m",
        "version": 1,
        **changes,
    }
    return InspectedText(**values)


def test_a_list_of_targets_is_sent_and_none_means_all() -> None:
    asked = text.fill_mask_request(["a [MASK]"], MODEL, 5, False, ["cat", "dog"])
    assert list(asked.targets) == ["cat", "dog"]
    assert not text.fill_mask_request(["a [MASK]"], MODEL, 5, False, None).targets


@pytest.mark.parametrize(
    ("targets", "said"),
    [([], "targets is empty; name at least one word"), ("cat", "give a list of words")],
)
def test_targets_that_would_mean_something_else_are_refused(targets: Any, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        text.fill_mask_request(["a [MASK]"], MODEL, 5, False, targets)


def test_an_unknown_pooling_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidArgument, match="pooling is 'median'; give one of mean, cls, max"):
        text.EmbedDialect(MODEL, False, text.How(pooling="median"))
    with pytest.raises(InvalidArgument, match="pooling is 'median'"):
        text.embed_request(["a"], MODEL, False, text.How(pooling="median"))


def test_what_is_not_asked_of_embed_is_not_sent() -> None:
    plain = text.embed_request(["a"], MODEL, False, text.How())
    assert not plain.HasField("normalize")
    assert not plain.HasField("layer")
    asked = text.embed_request(["a"], MODEL, False, text.How(normalize=False, layer=0))
    assert asked.HasField("normalize")
    assert asked.HasField("layer")


def test_a_text_in_place_of_labels_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="labels is the text 'sport'; give a list"):
        vectors.ZeroShot(
            labels="sport", template="", multi_label=False, temperature=0, truncate=False
        )


def test_an_unknown_method_is_refused() -> None:
    asked = vectors.FewShot(
        examples=[("a", "b")], method="svm", neighbors=0, temperature=0, truncate=False
    )
    with pytest.raises(InvalidArgument, match="give one of nearest_centroid, nearest_neighbors"):
        asked.request(["a"], MODEL)


def test_neighbors_that_are_no_number_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="neighbors is -1; give a whole number from 0 up"):
        vectors.FewShot(
            examples=[("a", "b")], method="svm", neighbors=-1, temperature=0, truncate=False
        )


def test_texts_and_pairs_are_not_mixed() -> None:
    with pytest.raises(InvalidArgument, match="1 of 2 are pairs"):
        tokens.tokenize_request(["a", ("b", "c")], MODEL, False)


def test_an_answer_of_another_size_is_a_broken_server() -> None:
    with pytest.raises(Internal, match="2 texts were asked, but the server answered 0"):
        vectors.similarities(pb.SimilarityResponse(), 2)


def test_arrays_get_their_shape_back() -> None:
    array = pb.FloatArray(shape=[2, 1, 2], values=[1, 2, 3, 4])
    response = pb.EmbedResponse(results=[pb.EmbedResult(attention=array, tokens=["a"])])
    (found,) = answers_of(response, 1, text.inspected)
    assert found.hidden_state is None
    assert found.attention is not None
    assert found.attention.tolist() == [[[1, 2]], [[3, 4]]]


@pytest.mark.parametrize(
    ("given", "name", "head", "said"),
    [
        (inspected(), "map.jpg", None, "map.jpg is no picture's name; let it end in .png or .svg"),
        (inspected(attention=None), "map.png", None, "inspect the text with attention=True"),
        (inspected(), "map.png", 4, "head is 4; the layer has 4: give 0 to 3"),
        (inspected(count=65), "map.png", None, "65 tokens, and a picture shows 64 at most"),
    ],
)
def test_what_is_no_picture_is_refused(
    tmp_path: Path, given: InspectedText, name: str, head: int | None, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        plot_attention(given, tmp_path / name, head=head)
    assert not list(tmp_path.iterdir())


@needs("plot")
@pytest.mark.parametrize("head", [None, 2])
def test_a_picture_names_every_token(tmp_path: Path, head: int | None) -> None:
    words = ("[CLS]", "price", "$5", "$6", "a<b", "é", "[SEP]")
    given = inspected(count=7, tokens=words)
    given.plot(tmp_path / "map.svg", head=head, title="A title")
    given.plot(tmp_path / "map.png", head=head)
    drawn = (tmp_path / "map.svg").read_text()
    assert drawn.count("<svg") == 1
    assert drawn.count("<!-- price -->") == 2, "once as a row, once as a column"
    assert "<!-- A title -->" in drawn
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@needs("plot")
def test_a_picture_of_letters_that_no_font_has_is_drawn_without_a_word(tmp_path: Path) -> None:
    given = inspected(count=5, tokens=("[CLS]", "日本", "한국", "\U0001f40c", "[SEP]"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given.plot(tmp_path / "map.png")
        given.plot(tmp_path / "map.svg", head=0)
    assert (tmp_path / "map.svg").read_text().count("<!-- 日本 -->") == 2
