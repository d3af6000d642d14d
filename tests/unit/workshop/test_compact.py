"""The compact form: a quarter of the size, read back like any other checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.unit.workshop.checkpoints import Recipe, random_weights, write_checkpoint
from trivet.errors import InvalidConfig
from trivet_backends.workshop import compact
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.checkpoint import read_checkpoint

WIDE = BertConfig(
    vocab_size=120,
    hidden_size=128,
    layers=1,
    heads=2,
    intermediate_size=256,
    max_positions=48,
)
DENSE = "encoder.layer.0.output.dense.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("compact") / "wide", Recipe(config=WIDE))


def test_every_weight_comes_back_within_half_a_step(source: Path, tmp_path: Path) -> None:
    compact.write_compact(source, tmp_path / "small")
    original, read = random_weights(Recipe(config=WIDE)), read_checkpoint(tmp_path / "small")
    weights = read.weights()
    assert weights.keys() == original.keys()
    for name, array in original.items():
        if array.ndim == 1:
            np.testing.assert_array_equal(weights[name], array)
        else:
            step = np.abs(array).max(axis=1, keepdims=True) / 127
            assert (np.abs(weights[name] - array) <= step / 2 + 1e-7).all(), name


def test_the_file_names_its_scheme_and_takes_a_quarter(source: Path, tmp_path: Path) -> None:
    compact.write_compact(source, tmp_path / "small")
    path = tmp_path / "small" / "model.safetensors"
    assert path.stat().st_mode & 0o044 == 0o044, "others may not read it"
    with safe_open(path, framework="np") as file:
        assert file.metadata() == {"trivet.scheme": "int8-per-output-channel"}
        assert file.get_slice(DENSE).get_dtype() == "I8"
        assert file.get_slice(f"{DENSE}.scale").get_shape() == [128]
    large = (source / "model.safetensors").stat().st_size
    assert path.stat().st_size < 0.32 * large  # a tiny model has many biases
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_compacted_checkpoint_is_compacted_again_in_place(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    compact.write_compact(source, folder)
    once = load_file(folder / "model.safetensors")
    compact.write_compact(folder, folder)
    twice = load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(once[DENSE], twice[DENSE])
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_a_lost_scale_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    compact.write_compact(source, tmp_path / "small")
    path = tmp_path / "small" / "model.safetensors"
    tensors = load_file(path)
    del tensors[f"{DENSE}.scale"]
    save_file(tensors, path, {"trivet.scheme": "int8-per-output-channel"})
    with pytest.raises(InvalidConfig, match=rf"comes without {DENSE}\.scale of shape \[128\]"):
        read_checkpoint(tmp_path / "small")


def test_the_tool_says_what_it_wrote_and_what_is_wrong(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compact.main([str(source), str(tmp_path / "small")]) == 0
    assert "small/model.safetensors: 0." in capsys.readouterr().out
    assert compact.main([str(tmp_path / "nothing"), str(tmp_path / "other")]) == 1
    assert "nothing: is no folder" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_matrix_of_zeros_survives() -> None:
    stored, scale = compact.quantized(np.zeros((3, 4), np.float32))
    assert not (stored * scale[:, None]).any()
