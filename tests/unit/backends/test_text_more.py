"""The text backend's tasks without a head of their own: targets, layers, similarity, detokenize."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.artifacts import VOCABULARY
from trivet.backend.contract import Answer, Batch, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Tensors
from trivet_backends.text import TextBackend
from trivet_backends.text.fill_mask import FillMask
from trivet_backends.text.inspect_layers import Inspect
from trivet_backends.text.pool import POOLINGS
from trivet_backends.text.similarity import Similarity

MLM = Path(__file__).parents[3] / "model_repository" / "checkpoints" / "minilm-mlm"
WORDS = np.array([word.encode() for word in VOCABULARY], dtype=object)
ROWS, LAYERS, HEADS, TOKENS, WIDTH = 2, 3, 2, 4, 5


def of_targets(targets: list[list[int]], **parameters: Any) -> Tensors:
    """Two rows with two masks each, the second row's last a padding."""
    random = np.random.default_rng(1)
    inputs = {
        "token_ids": np.zeros((2, 2, 1), np.int64),
        "probabilities": np.ones((2, 2, 1), np.float32),
        "mask_positions": np.array([[1, 4], [2, -1]]),
        "target_ids": np.array(targets),
        "target_probabilities": random.random((2, 2, len(targets[0])), np.float32),
    }
    return {**FillMask(WORDS)(inputs, parameters), "given": inputs["target_probabilities"]}


def test_targets_are_the_only_candidates_the_best_first() -> None:
    found = of_targets([[5, 6, 7], [8, 9, 10]])
    order = np.argsort(-found["given"][0, 0])
    np.testing.assert_array_equal(found["TOKEN_ID"][0, 0], np.array([5, 6, 7])[order])
    np.testing.assert_array_equal(found["PROBABILITY"][0, 0], found["given"][0, 0][order])
    assert found["TOKEN"][0, 0].tolist() == [WORDS[i] for i in np.array([5, 6, 7])[order]]
    assert sorted(found["TOKEN_ID"][1, 0]) == [8, 9, 10]
    assert found["TOKEN_ID"][1, 1].tolist() == [-1, -1, -1]
    assert found["TOKEN"][1, 1].tolist() == [b"", b"", b""]


def test_top_k_of_targets_is_at_most_all_of_them() -> None:
    assert of_targets([[5, 6], [5, 6]], top_k=1)["TOKEN"].shape == (2, 2, 1)
    assert of_targets([[5, 6], [5, 6]], top_k=50)["TOKEN"].shape == (2, 2, 2)
    with pytest.raises(InvalidInput, match="'top_k' is 0"):
        of_targets([[5, 6], [5, 6]], top_k=0)


def test_without_targets_the_vocabulary_is_asked() -> None:
    assert of_targets([[-1], [-1]])["TOKEN_ID"].tolist() == [[[0], [0]], [[0], [-1]]]


def test_rows_that_differ_in_their_targets_are_refused() -> None:
    with pytest.raises(InvalidInput, match="differ in how many targets they have"):
        of_targets([[5, 6], [5, -1]])


def layers(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(2)
    inputs: dict[str, np.ndarray | None] = {
        "hidden_states": random.normal(size=(ROWS, LAYERS + 1, TOKENS, WIDTH)).astype(np.float32),
        "attention_mask": np.array([[1, 1, 1, 0], [1, 1, 1, 1]]),
        "attentions": random.random((ROWS, LAYERS, HEADS, TOKENS, TOKENS), np.float32),
        **changes,
    }
    return {name: array for name, array in inputs.items() if array is not None}


def inspected(inputs: Tensors, **parameters: Any) -> Tensors:
    return Inspect(POOLINGS["mean"], True)(inputs, parameters)


@pytest.mark.parametrize("layer", [0, 1, 3, -1, -4, None])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", None])
@pytest.mark.parametrize("normalize", [True, False, None])
def test_any_layer_is_pooled_in_any_way(
    layer: int | None, pooling: str | None, normalize: bool | None
) -> None:
    inputs = layers()
    asked = {"layer": layer, "pooling": pooling, "normalize": normalize}
    found = inspected(inputs, **{k: v for k, v in asked.items() if v is not None})
    hidden = inputs["hidden_states"][:, -1 if layer is None else layer]
    for row, kept in enumerate((hidden[0, :3], hidden[1])):
        expected = {"mean": kept.mean(0), "cls": kept[0], "max": kept.max(0)}[pooling or "mean"]
        if normalize is not False:
            expected = expected / np.linalg.norm(expected)
        np.testing.assert_allclose(found["EMBEDDING"][row], expected, rtol=1e-5)
    assert found["HIDDEN_STATE"].shape == (ROWS, 0, WIDTH)
    assert found["ATTENTION"].shape == (ROWS, 0, 0, 0)


def test_hidden_states_and_attention_maps_are_those_of_the_layer() -> None:
    inputs = layers()
    found = inspected(inputs, layer=2, hidden_state=True, attention=True)
    np.testing.assert_array_equal(found["HIDDEN_STATE"], inputs["hidden_states"][:, 2])
    np.testing.assert_array_equal(found["ATTENTION"], inputs["attentions"][:, 1])
    last = inspected(inputs, attention=True)["ATTENTION"]
    np.testing.assert_array_equal(last, inputs["attentions"][:, -1])


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"layer": 4}, "'layer' is 4; the model has 3 layers: send 1 to 3, 0 for the embeddings"),
        ({"layer": -5}, "'layer' is -5"),
        ({"layer": True}, "'layer' is True"),
        ({"pooling": "median"}, "'pooling' is 'median'; send one of mean, cls, max"),
        ({"normalize": "yes"}, "'normalize' is 'yes'; send true or false"),
        ({"attention": True, "layer": 0}, "layer 0 is the embeddings, which have no attention"),
    ],
)
def test_what_a_layer_cannot_give_is_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        inspected(layers(), **parameters)


def test_maps_asked_of_a_model_without_are_refused_with_the_cure() -> None:
    with pytest.raises(InvalidInput, match="build it with trivet build --attentions"):
        inspected(layers(attentions=None), attention=True)


def similarity(first: Any, second: Any) -> list[float]:
    inputs = {"vector": np.array(first, np.float32), "vector_pair": np.array(second, np.float32)}
    found = Similarity()(inputs, {})["SIMILARITY"]
    assert found.dtype == np.float32
    numbers: list[float] = found[:, 0].tolist()
    return numbers


def test_similarity_is_the_cosine() -> None:
    found = similarity([[3, 4], [1, 0], [2, 0], [0, 0]], [[6, 8], [0, 5], [-1, 0], [1, 1]])
    assert found == pytest.approx([1, 0, -1, 0])


def test_similarity_of_vectors_of_different_widths_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"have shapes \[1, 2\] and \[1, 3\]"):
        similarity([[1, 2]], [[1, 2, 3]])


@pytest.fixture(scope="module")
def detokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("detokenizer")
    shutil.copyfile(MLM / "tokenizer.json", folder / "tokenizer.json")
    config = ModelConfig(
        name="m",
        backend="text",
        max_batch_size=8,
        outputs=(TensorSpec(name="TEXT", datatype="BYTES", dims=(1,)),),
        parameters={"task": "detokenize"},
    )
    context = LoadContext(version=1, path=folder, where="m/1", threads=1)
    return TextBackend().open(config, context).instance(config)


def detokenized(instance: Any, rows: list[list[int]], **parameters: Any) -> Any:
    batch = Batch([Rows({"input_ids": np.array(rows)}, parameters)], time.monotonic_ns)
    (found,) = instance.execute(batch)
    return found


def test_ids_become_text_again(detokenizer: Any) -> None:
    rows = [[101, 19204, 6026, 1010, 2748, 102], [101, 4937, 102, -1, -1, -1]]
    found = detokenized(detokenizer, rows)
    assert isinstance(found, Answer)
    assert found.outputs["TEXT"].tolist() == [[b"tokenizing, yes"], [b"cat"]]
    kept = detokenized(detokenizer, rows, keep_special=True).outputs["TEXT"]
    assert kept[1, 0] == b"[CLS] cat [SEP]"


@pytest.mark.parametrize("wrong", [-2, 30522, 2**40])
def test_an_id_that_is_none_is_refused_with_its_place(detokenizer: Any, wrong: int) -> None:
    found = detokenized(detokenizer, [[101, wrong, 102]])
    assert isinstance(found, InvalidInput)
    assert found.message.startswith(f"token 1 has the id {wrong}; the vocabulary has 30522 tokens")
