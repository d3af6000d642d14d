"""Similarity, ZeroShot, FewShot, Tokenize, options of Embed and targets of FillMask, over sockets.

The embedding pipeline is a script: the direction of a text's vector is told by a word in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, Served, run_server
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import InferRequest, InferResponse
from trivet_protos.generated import text_pb2 as pb
from trivet_protos.generated.text_pb2_grpc import TextServiceAsyncStub

Status = grpc.StatusCode
DEGREES = {"east": 0, "near": 20, "north": 90, "west": 180}
TEXT = TensorSpec(name="TEXT", datatype="BYTES", dims=(1,))


class Embedder:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def __call__(self, request: InferRequest) -> InferResponse:
        text = request.inputs["TEXT"][0, 0].decode()
        self.asked[text] += 1
        if "poison" in text:
            raise InvalidInput("this text is poison; send another")
        angle = math.radians(next(d for word, d in DEGREES.items() if word in text))
        vector = np.array([[3 * math.cos(angle), 3 * math.sin(angle)]], np.float32)
        return InferResponse(
            model=request.model,
            version=1,
            outputs={"EMBEDDING": vector},
            parameters={"tokens": len(text.split()) + 2},
        )


def spec(name: str, datatype: str, *dims: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, dims=dims)


EMBED = ModelConfig(
    name="embed",
    backend="fake",
    max_batch_size=8,
    inputs=(TEXT,),
    outputs=(spec("EMBEDDING", "FP32", 2),),
)
INSPECT = ModelConfig(
    name="embed_inspect",
    backend="fake",
    max_batch_size=8,
    inputs=(TEXT,),
    outputs=(
        spec("EMBEDDING", "FP32", 2),
        spec("HIDDEN_STATE", "FP32", -1, 2),
        spec("ATTENTION", "FP32", -1, -1, -1),
        spec("TOKEN", "BYTES", -1),
    ),
)
TOKENIZE = ModelConfig(
    name="tokenize",
    backend="tokenizers",
    max_batch_size=8,
    inputs=(TEXT, TensorSpec(name="TEXT_PAIR", datatype="BYTES", dims=(1,), optional=True)),
    outputs=(
        *(spec(n, "INT64", -1) for n in ("input_ids", "word_ids", "special_tokens_mask")),
        spec("token_type_ids", "INT64", -1),
        spec("tokens", "BYTES", -1),
        spec("offsets", "INT64", -1, 2),
    ),
)


async def inspect(request: InferRequest) -> InferResponse:
    """Tells in the vector what it was asked."""
    pooling = ("mean", "cls", "max", None).index(request.parameters.get("pooling"))
    layer = float(request.parameters.get("layer", 99))
    tokens = np.array([[b"[CLS]", "é".encode(), b"[SEP]"]], object)
    wants = request.parameters
    count = 3 if wants.get("hidden_state") else 0
    maps = 3 if wants.get("attention") else 0
    return InferResponse(
        model=request.model,
        version=1,
        outputs={
            "EMBEDDING": np.array([[pooling, layer]], np.float32),
            "HIDDEN_STATE": np.arange(count * 2, dtype=np.float32).reshape(1, count, 2),
            "ATTENTION": np.arange(4 * maps * maps, dtype=np.float32).reshape(1, 4, maps, maps),
            "TOKEN": tokens,
        },
        parameters={"tokens": 3},
    )


async def tokenize(request: InferRequest) -> InferResponse:
    words = request.inputs["TEXT"][0, 0].split()
    if "TEXT_PAIR" in request.inputs:
        words += request.inputs["TEXT_PAIR"][0, 0].split()
    count = len(words)
    return InferResponse(
        model=request.model,
        version=1,
        outputs={
            "input_ids": np.arange(count)[None],
            "token_type_ids": np.arange(count)[None] % 2,
            "special_tokens_mask": np.eye(1, count, dtype=np.int64),
            "word_ids": np.arange(count)[None] - 1,
            "offsets": np.stack([np.arange(count), np.arange(count) + 5], axis=1)[None],
            "tokens": np.array([words], object),
        },
        parameters={"tokens": count},
    )


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
async def server(embedder: Embedder) -> AsyncIterator[Served]:
    models = [
        ScriptedModel(EMBED, embedder),
        ScriptedModel(INSPECT, inspect),
        ScriptedModel(TOKENIZE, tokenize),
    ]
    async with run_server(*models) as served:
        yield served


@pytest.fixture
def stub(server: Served) -> TextServiceAsyncStub:
    return TextServiceAsyncStub(server.channel)


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() == Status.INVALID_ARGUMENT
    return error.value.details() or ""


async def test_pairs_are_compared_whatever_the_length_of_vectors(
    stub: TextServiceAsyncStub,
) -> None:
    request = pb.SimilarityRequest(texts=["east", "east"], others=["near by", "go west now"])
    answer = await stub.Similarity(request)
    cosines = [result.similarity for result in answer.results]
    assert cosines == pytest.approx([math.cos(math.radians(20)), -1])
    assert [result.cost.tokens for result in answer.results] == [3 + 4, 3 + 5]
    assert (answer.model_name, answer.model_version) == ("embed", 1)


async def test_one_against_many_is_embedded_once(
    stub: TextServiceAsyncStub, embedder: Embedder
) -> None:
    others = ["near", "north", "west"] * 5
    answer = await stub.Similarity(pb.SimilarityRequest(texts=["east"], others=others))
    assert len(answer.results) == 15
    assert embedder.asked["east"] == 1
    assert answer.results[1].similarity == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("texts", "others", "said"),
    [
        (["east"], [], "Similarity: others is empty; send at least one other"),
        ([], ["east"], "there are 0 texts and 1 others; send one text for each of the others"),
        (["east"] * 2, ["east"] * 3, "there are 2 texts and 3 others"),
        (["east"], ["east", "poison"], "others[1]: this text is poison"),
    ],
)
async def test_texts_that_do_not_pair_are_refused(
    stub: TextServiceAsyncStub, texts: list[str], others: list[str], said: str
) -> None:
    assert said in await refused(stub.Similarity(pb.SimilarityRequest(texts=texts, others=others)))


async def test_zero_shot_names_the_best_label_first_and_keeps_labels(
    stub: TextServiceAsyncStub, embedder: Embedder
) -> None:
    request = pb.ZeroShotRequest(texts=["near", "go west"], labels=["east", "west", "north"])
    first = await stub.ZeroShot(request)
    assert [[label.label for label in result.labels] for result in first.results] == [
        ["east", "north", "west"],
        ["west", "north", "east"],
    ]
    for result in first.results:
        assert sum(label.score for label in result.labels) == pytest.approx(1)
    assert embedder.asked["This text is about west."] == 1
    again = await stub.ZeroShot(request)
    assert embedder.asked["This text is about west."] == 1
    assert not again.results[0].HasField("labels_cost")
    assert again.results[0].cost.tokens == 3
    assert sum(r.labels_cost.tokens for r in first.results) == 3 * 7


async def test_a_template_is_what_the_label_stands_in(
    stub: TextServiceAsyncStub, embedder: Embedder
) -> None:
    request = pb.ZeroShotRequest(
        texts=["east"], labels=["east", "west"], template="Go {}!", multi_label=True
    )
    (result,) = (await stub.ZeroShot(request)).results
    assert embedder.asked["Go east!"] == 1
    assert [label.score for label in result.labels] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": []}, "ZeroShot: labels is empty; send at least one label"),
        ({"labels": ["east", " "]}, "labels[1] is empty"),
        ({"labels": ["east", "west", " east"]}, "labels[2]: 'east' is labels[0] already"),
        (
            {"template": "About it."},
            "the template 'About it.' has 0 places for the label; write {}",
        ),
        ({"template": "{} or {}"}, "has 2 places for the label"),
        ({"template": "{}" + "x" * 9999}, "the template has 10001 characters; send at most 10,000"),
        ({"temperature": -1}, "temperature is -1; send a number above 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"labels": [f"east {n}" for n in range(1001)]}, "has 1001 entries; at most 1000"),
        ({"labels": ["east", "poison"]}, "texts[0]: labels[1]: this text is poison"),
        ({"texts": ["east", "poison"]}, "texts[1]: this text is poison"),
        ({"texts": []}, "ZeroShot: texts is empty"),
        ({"texts": ["east"] * 1001, "labels": [*map(str, range(1000))]}, "; split the request"),
    ],
)
async def test_zero_shot_refuses_with_the_place_and_the_cure(
    stub: TextServiceAsyncStub, changes: dict[str, Any], said: str
) -> None:
    fields = {"texts": ["east"], "labels": ["east", "west"], **changes}
    assert said in await refused(stub.ZeroShot(pb.ZeroShotRequest(**fields)))


def examples(*pairs: tuple[str, str]) -> list[pb.Example]:
    return [pb.Example(text=text, label=label) for text, label in pairs]


FEW = examples(("east one", "e"), ("near two", "e"), ("west three", "w"))


@pytest.mark.parametrize("method", list(pb.FewShotMethod.values()))
async def test_few_shot_finds_the_label_of_the_nearest_examples(
    stub: TextServiceAsyncStub, embedder: Embedder, method: Any
) -> None:
    request = pb.FewShotRequest(texts=["near", "west"], examples=FEW, method=method)
    answer = await stub.FewShot(request)
    assert [result.labels[0].label for result in answer.results] == ["e", "w"]
    again = await stub.FewShot(request)
    assert again.results[0].labels == answer.results[0].labels
    assert embedder.asked["west three"] == 1
    assert not again.results[0].HasField("examples_cost")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"examples": []}, "FewShot: examples is empty; send at least one example"),
        ({"examples": FEW[:2]}, "all 2 examples have the label 'e'; send examples of at least two"),
        ({"examples": [*FEW, *examples((" ", "e"))]}, "examples[3].text is empty"),
        ({"examples": [*FEW, *examples(("east", ""))]}, "examples[3].label is empty"),
        ({"neighbors": 4}, "neighbors is 4 and there are 3 examples; send at most as many"),
        ({"method": 9}, "method 9 is none; send NEAREST_CENTROID (1)"),
        ({"examples": [*FEW, *examples(("poison", "w"))]}, "examples[3]: this text is poison"),
    ],
)
async def test_few_shot_refuses_with_the_place_and_the_cure(
    stub: TextServiceAsyncStub, changes: dict[str, Any], said: str
) -> None:
    fields = {"texts": ["east"], "examples": FEW, **changes}
    assert said in await refused(stub.FewShot(pb.FewShotRequest(**fields)))


async def test_streams_answer_each_and_go_on_after_a_refusal(stub: TextServiceAsyncStub) -> None:
    labels = ["east", "west"]
    requests = [
        pb.ZeroShotStreamRequest(id="a", text="near", labels=labels),
        pb.ZeroShotStreamRequest(id="b", text="near", labels=["east", "east"]),
        pb.ZeroShotStreamRequest(id="c", text="west", labels=labels),
    ]
    found = {answer.id: answer async for answer in stub.ZeroShotStream(iter(requests))}
    assert found["a"].result.labels[0].label == "east"
    assert "is labels[0] already" in found["b"].error.message
    assert found["c"].result.labels[0].label == "west"
    pairs = [pb.SimilarityStreamRequest(id="p", text="east", other="west")]
    (pair,) = [answer async for answer in stub.SimilarityStream(iter(pairs))]
    assert pair.result.similarity == pytest.approx(-1)
    few = [pb.FewShotStreamRequest(id="f", text="near", examples=FEW)]
    (one,) = [answer async for answer in stub.FewShotStream(iter(few))]
    assert one.result.labels[0].label == "e"
    texts = [pb.TokenizeStreamRequest(id="t", text="a b", text_pair="c")]
    (told,) = [answer async for answer in stub.TokenizeStream(iter(texts))]
    assert [token.text for token in told.result.tokens] == ["a", "b", "c"]


async def test_tokens_are_told_with_all_there_is(stub: TextServiceAsyncStub) -> None:
    request = pb.TokenizeRequest(texts=["é b"], text_pairs=["c"])
    (result,) = (await stub.Tokenize(request)).results
    first, second, third = result.tokens
    assert (first.text, first.special, first.HasField("word")) == ("é", True, False)
    assert (second.id, second.start, second.end, second.word, second.type_id) == (1, 1, 6, 0, 1)
    assert (third.text, third.word, third.special) == ("c", 1, False)
    assert result.cost.tokens == 3


async def test_pairs_that_do_not_match_are_refused(stub: TextServiceAsyncStub) -> None:
    request = pb.TokenizeRequest(texts=["a", "b"], text_pairs=["c"])
    assert "there are 2 texts and 1 text_pairs" in await refused(stub.Tokenize(request))
    said = await refused(stub.Tokenize(pb.TokenizeRequest(texts=["a"], model="embed")))
    assert "model 'embed' cannot do Tokenize: it lacks an output input_ids" in said


async def test_a_layer_can_be_pooled_and_looked_at(stub: TextServiceAsyncStub) -> None:
    request = pb.EmbedRequest(
        model="embed_inspect",
        texts=["x"],
        pooling=pb.POOLING_CLS,
        layer=0,
        normalize=False,
        hidden_state=True,
        attention=True,
    )
    (result,) = (await stub.Embed(request)).results
    assert list(result.embedding) == [1, 0]
    assert list(result.tokens) == ["[CLS]", "é", "[SEP]"]
    assert list(result.hidden_state.shape) == [3, 2]
    assert list(result.hidden_state.values) == [0, 1, 2, 3, 4, 5]
    assert list(result.attention.shape) == [4, 3, 3]
    assert len(result.attention.values) == 36
    plain = pb.EmbedRequest(model="embed_inspect", texts=["x"])
    (result,) = (await stub.Embed(plain)).results
    assert list(result.embedding) == [3, 99]
    assert not result.tokens
    assert not result.HasField("hidden_state")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pooling": pb.POOLING_MAX}, "cannot do Embed with pooling: it gives out no HIDDEN_STATE"),
        ({"normalize": False}, "cannot do Embed with normalize"),
        ({"layer": 0}, "name a model built with trivet build --hidden-states"),
        ({"hidden_state": True}, "leave hidden_state out"),
        ({"attention": True}, "it gives out no ATTENTION; leave attention out, or name a model"),
        ({"pooling": 9}, "pooling 9 is none; send MEAN (1), CLS (2) or MAX (3)"),
    ],
)
async def test_a_model_without_layers_says_so(
    stub: TextServiceAsyncStub, changes: dict[str, Any], said: str
) -> None:
    assert said in await refused(stub.Embed(pb.EmbedRequest(texts=["east"], **changes)))
