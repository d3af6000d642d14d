"""similarity, zero_shot, few_shot, tokenize, targets: by tensors, by TextService, by the client."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.command import trivet
from tests.harness.server import ServerProcess, serving
from tests.unit.workshop.checkpoints import TINY, Recipe, write_checkpoint
from trivet.transport.options import Transport
from trivet_backends.workshop.build import build
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.inspection import NumpyInspect
from trivet_backends.workshop.options import Beside, BuildOptions
from trivet_client import AsyncClient, Client, Failure, LabelledText
from trivet_client.errors import InvalidArgument

PUPPY = "The puppy chewed my shoe."
OTHERS = ["A young dog bit my slipper.", "Stocks fell when the bank raised its rates."]
TOPICS = ["cooking", "astronomy", "sport"]
PROBE = "The probe passed within a thousand miles of the moons of Saturn."


@pytest.fixture(scope="module")
def transport() -> Transport:
    """One is enough: vectors are looked at. The RPCs run on each over a model that echoes."""
    return Transport.GRPCIO


@pytest.fixture
def client(demo_server: ServerProcess) -> Iterator[Client]:
    with Client(demo_server.address) as client:
        yield client


def unit(vectors: np.ndarray) -> np.ndarray:
    normal: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return normal


def column(texts: list[str]) -> np.ndarray:
    return np.array([[text.encode()] for text in texts], object)


def test_similarity_is_the_cosine_of_the_embeddings_by_every_door(
    client: Client, demo_server: ServerProcess
) -> None:
    first, *seconds = unit(client.embed([PUPPY, *OTHERS]).vectors)
    expected = [float(first @ second) for second in seconds]
    assert expected[0] > 0.5 > 0.2 > expected[1]
    typed = client.similarity(PUPPY, OTHERS)
    np.testing.assert_allclose(typed.similarities, expected, atol=1e-5)
    assert client.similarity(PUPPY, OTHERS[0]).similarity == pytest.approx(expected[0], abs=1e-5)
    streamed = dict(client.similarity_stream([(PUPPY, other) for other in OTHERS]))
    for index, answer in streamed.items():
        assert not isinstance(answer, Failure)
        assert answer.similarity == pytest.approx(expected[index], abs=1e-5)
    inputs = []
    for name, texts in (("TEXT", [PUPPY] * 2), ("TEXT_PAIR", OTHERS)):
        tensor = triton.InferInput(name, [2, 1], "BYTES")
        tensor.set_data_from_numpy(column(texts))
        inputs.append(tensor)
    with triton.InferenceServerClient(demo_server.address) as peer:
        told = peer.infer("similarity", inputs).as_numpy("SIMILARITY")
    np.testing.assert_allclose(told[:, 0], expected, atol=1e-5)


def test_zero_shot_is_a_softmax_over_cosines_and_labels_are_kept(client: Client) -> None:
    labels = [f"{topic} of {np.random.default_rng().integers(10**9)}" for topic in TOPICS]
    first = client.zero_shot([PROBE, PUPPY], labels)
    vectors = unit(client.embed([PROBE, *(f"This text is about {x}." for x in labels)]).vectors)
    powers = np.exp(vectors[1:] @ vectors[0] / 0.05)
    expected = dict(zip(labels, powers / powers.sum(), strict=True))
    told = {one.label: one.score for one in first[0].labels}
    assert told == pytest.approx(expected, abs=1e-4)
    assert first[0].labels[0].label == labels[1]
    costs = [answer.compared_cost for answer in first]
    assert sum(cost.tokens for cost in costs if cost) > 3 * len(labels)
    assert client.zero_shot(PROBE, labels).compared_cost is None


def test_few_shot_labels_by_examples(client: Client) -> None:
    examples = [
        ("A wonderful film, I loved it.", "good"),
        ("Great acting and a moving story.", "good"),
        ("A terrible film, a waste of time.", "bad"),
        ("Boring, badly acted and too long.", "bad"),
    ]
    asked = ["I enjoyed every minute of this movie.", "An awful movie, I left early."]
    for answer in (
        client.few_shot(asked, examples),
        client.few_shot(asked, examples, method="nearest_neighbors", neighbors=3),
    ):
        assert [one.labels[0].label for one in answer] == ["good", "bad"]
    vectors = unit(client.embed([asked[0], *(text for text, _ in examples)]).vectors)
    centroids = unit(np.stack([vectors[1:3].mean(0), vectors[3:5].mean(0)]))
    best = client.few_shot(asked[0], examples).labels[0]
    assert best.similarity == pytest.approx(float(centroids[0] @ vectors[0]), abs=1e-5)


def test_tokens_come_back_as_text_by_every_door(client: Client) -> None:
    text = "Émile isn't tokenizing 東京 🙂"
    told = client.tokenize((text, "and a pair"))
    first = [token for token in told.tokens if token.type_id == 0 and not token.special]
    assert [text[token.start : token.end] for token in first][:2] == ["Émile", "isn"]
    inputs = {"TEXT": column([text]), "TEXT_PAIR": column(["and a pair"])}
    outputs = client.infer("tokenize", inputs).outputs
    assert outputs["input_ids"][0].tolist() == list(told.ids)
    assert [token.decode() for token in outputs["tokens"][0]] == [t.text for t in told.tokens]
    assert outputs["token_type_ids"][0].tolist() == [token.type_id for token in told.tokens]
    (back,) = client.detokenize([told.ids])
    assert back.text == "emile isn ' t tokenizing 東 京 and a pair"
    raw = client.infer("detokenize", {"input_ids": np.array([told.ids])}).outputs["TEXT"]
    assert raw[0, 0].decode() == back.text
    assert "[CLS]" in client.detokenize([told.ids], keep_special=True)[0].text


def test_targets_are_the_only_candidates_by_every_door(client: Client) -> None:
    text, targets = "He opened the [MASK] and walked into the [MASK].", ["whale", "door", "room"]
    filled = client.fill_mask(text, targets=targets)
    everything = client.fill_mask(text, top_k=100)
    for mask, all_of_it in zip(filled.masks, everything.masks, strict=True):
        assert {candidate.token for candidate in mask.candidates} == set(targets)
        chances = [candidate.probability for candidate in mask.candidates]
        assert chances == sorted(chances, reverse=True)
        known = {candidate.token: candidate.probability for candidate in all_of_it.candidates}
        for candidate in mask.candidates:
            if candidate.token in known:
                assert candidate.probability == pytest.approx(known[candidate.token], abs=1e-6)
    best = [mask.candidates[0].token for mask in filled.masks]
    assert best[0] == "door"
    target = np.array([[word.encode() for word in targets]], object)
    inputs = {"TEXT": column([text]), "TARGET": target}
    raw = client.infer("fill_mask", inputs, parameters={"top_k": 1}).outputs
    assert raw["TOKEN"][0].tolist() == [[token.encode()] for token in best]
    with pytest.raises(InvalidArgument, match=r"no single token, but 2: 'unbelievable', '##ness'"):
        client.fill_mask(text, targets=["unbelievableness"])
    with pytest.raises(InvalidArgument, match="targets is empty"):
        client.fill_mask(text, targets=[])


async def test_tasks_that_share_an_encoder_share_its_batches(demo_server: ServerProcess) -> None:
    async with AsyncClient(demo_server.address) as client:
        await client.zero_shot(PROBE, TOPICS)
        before = await _batches(client)
        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(client.embed(f"{PROBE} {number}"))
                group.create_task(client.similarity(f"{PROBE} {number}", f"{PROBE} {number + 1}"))
                group.create_task(client.zero_shot(f"{PROBE} {number}", TOPICS))
        after = await _batches(client)
    rows = sum((after[size] - before.get(size, 0)) * size for size in after)
    executions = sum(after[size] - before.get(size, 0) for size in after)
    assert rows == 16 * (1 + 2 + 1)
    assert executions < rows


async def _batches(client: AsyncClient) -> dict[int, int]:
    (statistics,) = await client.statistics("minilm")
    return {batch.batch_size: batch.compute_infer.count for batch in statistics.batches}


async def test_the_asyncio_client_has_the_same_tasks(demo_server: ServerProcess) -> None:
    async with AsyncClient(demo_server.address) as client:
        assert (await client.similarity(PUPPY, PUPPY)).similarity == pytest.approx(1, abs=1e-5)
        stream = client.zero_shot_stream([PROBE, "", PUPPY], TOPICS)
        answers = {index: answer async for index, answer in stream}
        assert isinstance(answers[1], Failure)
        assert "the text is empty" in answers[1].message
        best = answers[0]
        assert isinstance(best, LabelledText)
        assert best.labels[0].label == "astronomy"
        ids = (await client.tokenize("one text")).ids
        async for _, back in client.detokenize_stream([ids]):
            assert not isinstance(back, Failure)
            assert back.text == "one text"
        assert (await client.few_shot(PUPPY, [(OTHERS[0], "dog"), (OTHERS[1], "money")])).labels[
            0
        ].label == "dog"


@pytest.mark.parametrize(
    ("labels", "said"),
    [([], "labels is empty"), (["a", "a"], r"labels\[1\]: 'a' is labels\[0\] already")],
)
def test_bad_labels_are_refused(client: Client, labels: list[str], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        client.zero_shot(PROBE, labels)


def test_the_shell_scores_labels_in_the_order_of_the_texts(demo_server: ServerProcess) -> None:
    labels = [word for topic in TOPICS for word in ("--label", topic)]
    ask = ("infer", "embed", "--url", demo_server.address, *labels)
    shown = trivet(*ask, "--text", PROBE)
    title, best, *_ = shown.out.splitlines()
    assert title == PROBE
    assert re.fullmatch(r"  astronomy +\d\d\.\d%  █.*", best)
    told = trivet(*ask, "--text", "-", "--output-json", stdin=f"{PROBE}\n  \nBake the bread.\n")
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["text"] for line in lines] == [PROBE, "Bake the bread."]
    assert [line["labels"][0]["label"] for line in lines] == ["astronomy", "cooking"]
    assert told.status == 1
    (error,) = told.errors
    assert re.match(r"text 2: .*the text has nothing but white space", error)
    assert "give them with --text" in trivet(*ask, "--input", "a=[1]").err


# A look inside, on a small checkpoint: its maps are as many as its random weights make.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny", Recipe(head=False))


@pytest.fixture(scope="module")
def looking(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("looking")
    build(tiny, repository, BuildOptions(beside=Beside(attentions=True)), lambda _: None)
    with serving(repository) as server:
        yield server


def test_any_layer_can_be_asked_for_by_every_door(looking: ServerProcess, tiny: Path) -> None:
    checkpoint = read_checkpoint(tiny)
    text = "He opened the door."
    with Client(looking.address) as client:
        client.wait_ready()
        ids = np.array([client.tokenize(text).ids])
        mask, types = np.ones_like(ids), np.zeros_like(ids)
        expected = NumpyInspect(checkpoint.config, checkpoint.weights()).layers(ids, mask, types)
        for layer in range(TINY.layers + 1):
            looked = client.inspect(text, layer=layer, attention=layer > 0)
            states = expected.states[0, layer]
            assert looked.hidden_state is not None
            np.testing.assert_allclose(looked.hidden_state, states, atol=1e-5)
            np.testing.assert_allclose(looked.vector, unit(states.mean(0)), atol=1e-5)
            if layer:
                assert looked.attention is not None
                np.testing.assert_allclose(looked.attention, expected.maps[0, layer - 1], atol=1e-5)
        assert len(looked.tokens) == ids.shape[1]
        vector = client.embed(text, model="embed_inspect", pooling="max", normalize=False).vector
        np.testing.assert_allclose(vector, expected.states[0, -1].max(0), atol=1e-5)
        raw = client.infer(
            "embed_inspect",
            {"TEXT": column([text])},
            parameters={"layer": -2, "attention": True, "pooling": "cls"},
        ).outputs
        np.testing.assert_allclose(raw["ATTENTION"][0], expected.maps[0, -2], atol=1e-5)
        np.testing.assert_allclose(raw["EMBEDDING"][0], unit(expected.states[0, -2, 0]), atol=1e-5)
        assert raw["HIDDEN_STATE"].shape == (1, 0, TINY.hidden_size)


def test_many_texts_at_once_get_their_own_maps(looking: ServerProcess) -> None:
    texts = [" ".join(["He ran."] * count) for count in (1, 3, 2, 5, 4) * 3]
    with Client(looking.address) as client:
        client.wait_ready()
        alone = {text: client.inspect(text) for text in set(texts)}
        for text, found in zip(texts, client.inspect(texts), strict=True):
            expected = alone[text]
            assert found.tokens == expected.tokens
            for ours, theirs in (
                (found.attention, expected.attention),
                (found.hidden_state, expected.hidden_state),
            ):
                assert ours is not None
                assert theirs is not None
                assert ours.shape == theirs.shape
                np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"layer": 3}, "'layer' is 3; the model has 2 layers"),
        ({"layer": 0}, "layer 0 is the embeddings, which have no attention map"),
        ({"pooling": "median"}, "pooling is 'median'; give one of mean, cls, max"),
        ({"model": "embed"}, "name a model built with trivet build --hidden-states"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(
    looking: ServerProcess, arguments: dict[str, object], said: str
) -> None:
    with Client(looking.address) as client, pytest.raises(InvalidArgument, match=said):
        client.wait_ready()
        client.inspect("He opened the door.", **arguments)  # type: ignore[call-overload]


def test_labels_by_tensors_are_those_of_text_service(
    client: Client, demo_server: ServerProcess
) -> None:
    template = "About {}."
    answer = client.infer(
        "zero_shot",
        {"TEXT": column([PROBE]), "LABEL": np.array(TOPICS, object)},
        parameters={"template": template},
    ).outputs
    told = client.zero_shot(PROBE, TOPICS, template=template)
    assert [label.decode() for label in answer["LABEL"][0]] == [one.label for one in told.labels]
    np.testing.assert_allclose(answer["SCORE"][0], [one.score for one in told.labels], atol=1e-5)
    texts, labels = ["A wonderful film.", "A waste of time."], ["good", "bad"]
    few = {"EXAMPLE": np.array(texts, object), "EXAMPLE_LABEL": np.array(labels, object)}
    answer = client.infer("few_shot", {"TEXT": column(["I loved it."]), **few}).outputs
    best = client.few_shot("I loved it.", list(zip(texts, labels, strict=True))).labels[0]
    assert answer["LABEL"][0, 0].decode() == best.label == "good"
    assert answer["SIMILARITY"][0, 0] == pytest.approx(best.similarity, abs=1e-6)
    (before,) = client.statistics("embed")
    client.infer(
        "zero_shot",
        {"TEXT": column([PROBE] * 3), "LABEL": np.array(TOPICS, object)},
        parameters={"template": "No other test says {}."},
    )
    (after,) = client.statistics("embed")
    assert after.inference_count - before.inference_count == 3 + len(TOPICS), (
        "each text and each label that is new is a request of its own"
    )
