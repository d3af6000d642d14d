"""The text backend: each task against plain loops, and every refusal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.artifacts import VOCABULARY, write_tokenizer
from trivet.backend.contract import Batch, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidConfig, InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.text import TextBackend, pool
from trivet_backends.text.fill_mask import FillMask
from trivet_backends.text.pool import Pool
from trivet_backends.text.tasks import TASKS

WORDS = np.array([word.encode() for word in VOCABULARY], dtype=object)


def open_model(folder: Path, **config: Any) -> Any:
    context = LoadContext(version=1, path=folder, where="m/1", threads=1)
    return TextBackend().open(ModelConfig(name="m", backend="text", **config), context)


def candidates(rows: int = 2, masks: int = 3, k: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    probabilities = -np.sort(-random.random((rows, masks, k), dtype=np.float32))
    positions = random.integers(1, 20, (rows, masks))
    positions[0, 2:] = -1  # the first row has fewer masks
    return {
        "token_ids": random.integers(0, len(WORDS), (rows, masks, k)),
        "probabilities": probabilities,
        "mask_positions": positions,
    }


def fill(inputs: Tensors, **parameters: Any) -> Tensors:
    return FillMask(WORDS)(inputs, parameters)


def test_fill_mask_gives_the_best_candidates_of_every_mask() -> None:
    inputs = candidates()
    found = fill(inputs, top_k=2)
    for row in range(2):
        for mask in range(3):
            is_padding = row == 0 and mask == 2
            for place in range(2):
                at = (row, mask, place)
                token = -1 if is_padding else inputs["token_ids"][at]
                assert found["TOKEN_ID"][at] == token
                assert found["TOKEN"][at] == (b"" if is_padding else WORDS[token])
                expected = 0 if is_padding else inputs["probabilities"][at]
                assert found["PROBABILITY"][at] == expected
    np.testing.assert_array_equal(found["MASK_POSITION"], inputs["mask_positions"])


def test_fill_mask_gives_the_types_it_tells() -> None:
    found = fill(candidates())
    assert {name: array.dtype for name, array in found.items()} == {
        "TOKEN": np.dtype(object),
        "TOKEN_ID": np.dtype(np.int64),
        "PROBABILITY": np.dtype(np.float32),
        "MASK_POSITION": np.dtype(np.int64),
    }
    assert all(isinstance(token, bytes) for token in found["TOKEN"].flat)


@pytest.mark.parametrize(
    ("parameters", "k", "given"),
    [({}, 6, 5), ({}, 3, 3), ({"top_k": 6}, 6, 6), ({"top_k": 1}, 6, 1)],
)
def test_fill_mask_gives_five_unless_asked(parameters: Parameters, k: int, given: int) -> None:
    assert fill(candidates(k=k), **parameters)["TOKEN"].shape == (2, 3, given)


@pytest.mark.parametrize("top_k", [0, -1, 7, "5", 2.0, True])
def test_fill_mask_refuses_a_top_k_out_of_range_naming_the_maximum(top_k: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        fill(candidates(), top_k=top_k)
    assert refused.value.message == (
        f"parameter 'top_k' is {top_k!r}; send a whole number from 1 to 6"
    )


@pytest.mark.parametrize("wrong", [len(WORDS), -1])
def test_fill_mask_refuses_an_id_of_no_word(wrong: int) -> None:
    inputs = candidates()
    inputs["token_ids"][1, 1, 0] = wrong
    with pytest.raises(InvalidInput, match=rf"has {wrong}; the vocabulary has {len(WORDS)} words"):
        fill(inputs)


def test_fill_mask_looks_at_no_id_behind_a_padded_mask() -> None:
    inputs = candidates()
    inputs["token_ids"][0, 2] = 10_000
    assert fill(inputs)["TOKEN"][0, 2].tolist() == [b""] * 5


@pytest.mark.parametrize("name", ["token_ids", "probabilities", "mask_positions"])
def test_fill_mask_refuses_shapes_that_disagree(name: str) -> None:
    inputs = candidates()
    inputs[name] = inputs[name][:, :2]
    with pytest.raises(InvalidInput, match=r"have shapes .*; send \[rows, masks, k\] twice"):
        fill(inputs)


def test_fill_mask_reads_its_words_from_the_versions_tokenizer(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    outputs = (TensorSpec(name="TOKEN", datatype="BYTES", dims=(-1, -1)),)
    config: dict[str, Any] = {"max_batch_size": 8, "outputs": outputs}
    artifact = open_model(tmp_path, parameters={"task": "fill_mask"}, **config)
    instance = artifact.instance(ModelConfig(name="m", **config))
    ids = np.arange(len(VOCABULARY)).reshape(1, 1, -1)
    inputs = {
        "token_ids": ids,
        "probabilities": np.zeros(ids.shape, np.float32),
        "mask_positions": np.array([[1]]),
    }
    rows = Rows(inputs, {"top_k": len(VOCABULARY)})
    (answer,) = instance.execute(Batch([rows], time.monotonic_ns))
    assert answer.outputs["TOKEN"].ravel().tolist() == [word.encode() for word in VOCABULARY]
    assert instance.is_quick(Batch([rows], time.monotonic_ns))
    assert not instance.is_quick(Batch([rows] * 1000, time.monotonic_ns))


def hidden_states(rows: int = 3, tokens: int = 5, width: int = 4) -> dict[str, np.ndarray]:
    """Rows of 5, 3 and no tokens; what lies behind them is huge."""
    random = np.random.default_rng(5)
    hidden = random.normal(size=(rows, tokens, width)).astype(np.float32)
    lengths = np.array([5, 3, 0])
    mask = (np.arange(tokens) < lengths[:, None]).astype(np.int64)
    hidden[mask == 0] = 1e6
    return {"last_hidden_state": hidden, "attention_mask": mask}


def pooled(inputs: Tensors, how: pool.Pooling, *, normalize: bool = False) -> np.ndarray:
    return Pool(how, normalize)(inputs, {})["EMBEDDING"]


def test_mean_pooling_averages_the_tokens_and_nothing_else() -> None:
    inputs = hidden_states()
    hidden = inputs["last_hidden_state"]
    found = pooled(inputs, pool.mean)
    assert found.dtype == np.float32
    expected = [hidden[0].mean(axis=0), hidden[1, :3].mean(axis=0), np.zeros(4)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_max_pooling_takes_the_largest_of_the_tokens_and_nothing_else() -> None:
    inputs = hidden_states()
    hidden = inputs["last_hidden_state"]
    expected = [hidden[0].max(axis=0), hidden[1, :3].max(axis=0), np.zeros(4)]
    np.testing.assert_array_equal(pooled(inputs, pool.largest), expected)


def test_cls_pooling_takes_the_first_token() -> None:
    inputs = hidden_states()
    np.testing.assert_array_equal(pooled(inputs, pool.cls), inputs["last_hidden_state"][:, 0])


def test_a_normalised_vector_has_length_one_and_an_empty_row_is_zero() -> None:
    found = pooled(hidden_states(), pool.mean, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 0], atol=1e-6)
    plain = pooled(hidden_states(), pool.mean)
    np.testing.assert_allclose(found[0], plain[0] / np.linalg.norm(plain[0]), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5)])
def test_pooling_refuses_shapes_that_disagree(shape: tuple[int, int]) -> None:
    inputs = {**hidden_states(), "attention_mask": np.ones(shape, np.int64)}
    with pytest.raises(InvalidInput, match=r"have shapes \[3, 5, 4\] and"):
        pooled(inputs, pool.mean)


def test_pooling_refuses_no_tokens_at_all() -> None:
    inputs = hidden_states()
    empty = {name: array[:, :0] for name, array in inputs.items()}
    with pytest.raises(InvalidInput, match="with at least one token"):
        pooled(empty, pool.largest)


@pytest.mark.parametrize("how", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_and_normalising_are_chosen_by_parameters(
    tmp_path: Path, how: str, normalize: bool
) -> None:
    outputs = (TensorSpec(name="EMBEDDING", datatype="FP32", dims=(4,)),)
    parameters = {"task": "pool", "pooling": how, "normalize": str(normalize).lower()}
    config: dict[str, Any] = {"max_batch_size": 8, "outputs": outputs, "parameters": parameters}
    instance = open_model(tmp_path, **config).instance(ModelConfig(name="m", **config))
    inputs = hidden_states()
    (answer,) = instance.execute(Batch([Rows(inputs)], time.monotonic_ns))
    function = {"mean": pool.mean, "cls": pool.cls, "max": pool.largest}[how]
    expected = pooled(inputs, function, normalize=normalize)
    np.testing.assert_array_equal(answer.outputs["EMBEDDING"], expected)


def test_vectors_are_normalised_unless_switched_off(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "max_batch_size": 8,
        "outputs": (TensorSpec(name="EMBEDDING", datatype="FP32", dims=(4,)),),
        "parameters": {"task": "pool"},
    }
    instance = open_model(tmp_path, **config).instance(ModelConfig(name="m", **config))
    (answer,) = instance.execute(Batch([Rows(hidden_states())], time.monotonic_ns))
    expected = pooled(hidden_states(), pool.mean, normalize=True)
    np.testing.assert_array_equal(answer.outputs["EMBEDDING"], expected)


@pytest.mark.parametrize("parameters", [{}, {"task": "sing"}])
def test_a_task_must_be_named_and_known(tmp_path: Path, parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidConfig) as refused:
        open_model(tmp_path, parameters=parameters)
    (fault,) = refused.value.faults
    assert fault.where == 'm/config.pbtxt: parameters["task"]'
    assert fault.cure == "use one of " + ", ".join(TASKS)


def test_a_tensor_of_another_task_is_refused(tmp_path: Path) -> None:
    inputs = (TensorSpec(name="token_ids", datatype="INT64", dims=(-1, -1)),)
    with pytest.raises(InvalidConfig, match=r"input\[0\].name: .*; use last_hidden_state, atten"):
        open_model(tmp_path, inputs=inputs, parameters={"task": "pool"})
