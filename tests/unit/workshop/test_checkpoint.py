"""Any BERT checkpoint folder is read; whatever is wrong with one is told, all of it, by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.unit.workshop.checkpoints import (
    MASK_ID,
    TINY,
    Recipe,
    random_weights,
    word_tokenizer,
    write_checkpoint,
)
from trivet.errors import InvalidConfig
from trivet_backends.workshop.bert_config import Activation
from trivet_backends.workshop.checkpoint import read_checkpoint

WEIGHTS = "model.safetensors"


def old_names(name: str) -> str:
    """As the first PyTorch checkpoints had them."""
    return f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


def decoder_bias(name: str) -> str:
    """The head's bias under its other name."""
    return name.replace("cls.predictions.bias", "cls.predictions.decoder.bias")


def change_weights(folder: Path, **changes: np.ndarray | None) -> None:
    """Replace tensors by name, with '__' for the dots; None takes one away."""
    tensors = load_file(folder / WEIGHTS)
    for name, array in changes.items():
        del tensors[name.replace("__", ".")]
        if array is not None:
            tensors[name.replace("__", ".")] = array
    save_file(tensors, folder / WEIGHTS)


def change_config(folder: Path, **keys: object) -> None:
    """Set keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def faults_of(folder: Path) -> list[str]:
    """What reading the folder complains about."""
    with pytest.raises(InvalidConfig) as refused:
        read_checkpoint(folder)
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(rename=lambda name: name),
        Recipe(rename=old_names),
        Recipe(rename=decoder_bias),
        Recipe(untied=True),
        Recipe(untied=True, keys={"tie_word_embeddings": False}),
        Recipe(head=False),
        Recipe(keys={"model_type": None, "architectures": ["BertForMaskedLM"]}),
        Recipe(keys={"type_vocab_size": None, "layer_norm_eps": None, "pad_token_id": None}),
        Recipe(keys={"pooler_fc_size": 1, "position_embedding_type": "absolute"}),
    ],
    ids=[
        "as stored today",
        "no prefix",
        "gamma and beta",
        "decoder.bias",
        "untied",
        "untied as config.json says",
        "no head",
        "no model_type",
        "defaults",
        "keys of no interest",
    ],
)
def test_a_checkpoint_is_read_however_it_is_stored(tmp_path: Path, recipe: Recipe) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path / "tiny", recipe))
    assert checkpoint.config == dataclasses.replace(
        TINY, tied=recipe.keys.get("tie_word_embeddings")
    )
    assert checkpoint.has_head == recipe.head
    weights, expected = checkpoint.weights(), random_weights(recipe)
    assert weights.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float16, 1e-3), (ml_dtypes.bfloat16, 5e-3), (np.float64, 0)]
)
def test_weights_of_every_float_type_come_as_float32(
    tmp_path: Path, dtype: type, tolerance: float
) -> None:
    recipe = Recipe(dtype=dtype)
    weights = read_checkpoint(write_checkpoint(tmp_path / "tiny", recipe)).weights()
    for name, array in random_weights(recipe).items():
        assert weights[name].dtype == np.float32
        np.testing.assert_allclose(weights[name], array, rtol=tolerance, atol=tolerance)


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    tensors = list(load_file(folder / WEIGHTS).items())
    shards = {"a.safetensors": tensors[:9], "b.safetensors": tensors[9:]}
    for shard, part in shards.items():
        save_file(dict(part), folder / shard)
    weight_map = {name: shard for shard, part in shards.items() for name, _ in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / WEIGHTS).unlink()
    weights = read_checkpoint(folder).weights()
    assert len(weights) == len(tensors)

    index.write_text(json.dumps({"weight_map": {"x": "../elsewhere.safetensors"}}))
    assert "shards must lie in the same folder" in faults_of(folder)[0]
    index.write_text("{")
    assert "index.json: cannot be read" in faults_of(folder)[0]


def test_a_decoder_equal_to_the_word_embeddings_is_the_same_tensor(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    tensors = load_file(folder / WEIGHTS)
    words = tensors["bert.embeddings.word_embeddings.weight"]
    save_file(tensors | {"cls.predictions.decoder.weight": words.copy()}, folder / WEIGHTS)
    assert "cls.predictions.decoder.weight" not in read_checkpoint(folder).weights()


def test_an_untied_head_without_its_decoder_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", Recipe(keys={"tie_word_embeddings": False}))
    (fault,) = faults_of(folder)
    assert "cls.predictions.decoder.weight: the tensor is missing" in fault


def test_every_fault_is_told_at_once_with_tensor_expected_and_found(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    change_weights(
        folder,
        bert__encoder__layer__1__output__dense__weight=np.zeros((32, 63), np.float32),
        bert__embeddings__LayerNorm__bias=None,
        bert__encoder__layer__0__intermediate__dense__bias=np.zeros(64, np.int32),
    )
    (folder / "tokenizer.json").write_text("{}")
    faults = faults_of(folder)
    assert len(faults) == 4
    told = "\n".join(faults)
    assert "tokenizer.json: is no tokenizer" in told
    assert "embeddings.LayerNorm.bias: the tensor is missing; expected shape [32]" in told
    assert "layer.1.output.dense.weight: has shape [32, 63]; expected [32, 64]" in told
    assert "layer.0.intermediate.dense.bias: is of type I32" in told


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"model_type": "roberta"}, "model_type: is 'roberta'; only 'bert' checkpoints"),
        ({"model_type": None}, "model_type: is missing"),
        ({"hidden_act": "quick_gelu"}, "hidden_act: is 'quick_gelu'; known are gelu,"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type: is 'relative_key'"),
        ({"num_attention_heads": 5}, "num_attention_heads: is 5; hidden_size (32) must be"),
        ({"hidden_size": "32"}, "hidden_size: is '32'; give a whole number"),
        ({"vocab_size": 0}, "vocab_size: is 0; give a whole number"),
        ({"layer_norm_eps": -1}, "layer_norm_eps: is -1"),
        ({"pad_token_id": 120}, "pad_token_id: is 120; give a token id below vocab_size (120)"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: is 'yes'; give true or false"),
        ({"num_hidden_layers": 1}, "holds 2 layers; config.json says num_hidden_layers 1"),
        ({"vocab_size": 40}, "tokenizer.json: gives token ids up to 64; the model knows 40"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_by_its_key(
    tmp_path: Path, keys: dict[str, object], told: str
) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    change_config(folder, **keys)
    assert any(told in fault for fault in faults_of(folder)), faults_of(folder)


def test_several_faults_of_a_config_are_told_together(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    change_config(folder, hidden_act="mish", num_hidden_layers=None, intermediate_size=-1)
    assert len(faults_of(folder)) == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("config.json", "config.json: the file is missing; give a checkpoint folder"),
        (WEIGHTS, "model.safetensors: the file is missing; save the weights as safetensors"),
        ("tokenizer.json", "tokenizer.json: the file is missing; make one from vocab.txt"),
    ],
)
def test_a_missing_file_is_named_with_a_way_to_get_it(tmp_path: Path, name: str, told: str) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    (folder / name).unlink()
    assert [fault for fault in faults_of(folder) if told in fault]


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_a_broken_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    (folder / WEIGHTS).write_bytes(content)
    (fault,) = faults_of(folder)
    assert "tiny/model.safetensors: is no readable safetensors file" in fault


@pytest.mark.parametrize("content", ["{", "[1, 2]", "\x00"])
def test_a_config_that_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    (folder / "config.json").write_text(content)
    assert "tiny/config.json: " in faults_of(folder)[0]


def test_nan_weights_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    change_weights(folder, bert__embeddings__LayerNorm__bias=np.full(32, np.nan, np.float32))
    with pytest.raises(InvalidConfig, match=r"tiny: embeddings\.LayerNorm\.bias: holds NaN"):
        read_checkpoint(folder).weights()


def test_8_bit_weights_of_an_unknown_scheme_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    change_weights(
        folder, bert__encoder__layer__0__output__dense__weight=np.zeros((32, 64), np.int8)
    )
    (fault,) = faults_of(folder)
    assert "layer.0.output.dense.weight: is 8-bit in the unknown scheme ''" in fault


def test_a_hub_name_gets_the_advice_to_download_it() -> None:
    with pytest.raises(InvalidConfig, match="bert-base-uncased: is no folder; download it first"):
        read_checkpoint(Path("bert-base-uncased"))


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("gelu", Activation.GELU),
        ("gelu_new", Activation.GELU_TANH),
        ("gelu_pytorch_tanh", Activation.GELU_TANH),
        ("relu", Activation.RELU),
        ("swish", Activation.SILU),
    ],
)
def test_activations_go_by_all_their_names(
    tmp_path: Path, name: str, activation: Activation
) -> None:
    folder = write_checkpoint(tmp_path / "tiny", Recipe(keys={"hidden_act": name}))
    assert read_checkpoint(folder).config.activation is activation


def test_a_smaller_tokenizer_than_the_model_is_fine(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    word_tokenizer(50).save(str(folder / "tokenizer.json"))
    assert read_checkpoint(folder).tokenizer.mask_token_id == MASK_ID
