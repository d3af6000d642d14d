"""Builds for OpenVINO: what is written, how small, and how near to the source."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.harness.openvino_artifacts import needs_openvino
from tests.unit.workshop.checkpoints import MASK_ID, TINY, Recipe, random_weights
from trivet.cli import main as trivet
from trivet_backends.workshop import command
from trivet_backends.workshop.check_batch import check_batch
from trivet_backends.workshop.openvino_file import quantized, run_openvino
from trivet_backends.workshop.options import GraphOptions, Precision, Task
from trivet_backends.workshop.parity import OPENVINO_BARS, check_parity
from trivet_backends.workshop.precision import write_graph

# Wide enough that weights, not nodes, fill the file.
WIDE = dataclasses.replace(TINY, hidden_size=128, intermediate_size=512, heads=4)
TASKS = [
    GraphOptions(task=Task.EMBED, hidden_state=True),
    GraphOptions(task=Task.FILL_MASK, candidates=20),
]


def test_8_bits_are_within_half_a_step_of_the_weight_and_exact_at_zero() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    weights[0, :3], weights[1], weights[2] = 0, np.abs(weights[1]), 0
    for axis in (0, 1):
        levels, zero, scale = quantized(weights, axis)
        assert (levels.dtype, zero.dtype, scale.dtype) == (np.uint8, np.uint8, np.float32)
        assert zero.shape == scale.shape == ((6, 1) if axis == 0 else (1, 40))
        again = (levels.astype(np.float32) - zero) * scale
        assert (np.abs(again - weights) <= scale * 0.51).all()
        assert (again[weights == 0] == 0).all()


@needs_openvino
@pytest.mark.parametrize("options", TASKS, ids=lambda options: options.task)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("untied", [False, True], ids=["tied", "untied"])
def test_a_model_reaches_the_bar_of_its_precision(
    tmp_path: Path,
    fill_mask_checkpoint: Path,
    options: GraphOptions,
    precision: Precision,
    untied: bool,
) -> None:
    weights = random_weights(Recipe(config=WIDE, untied=untied))
    path = tmp_path / "model.xml"
    write_graph(WIDE, weights, options, precision, path)
    mask_id = MASK_ID if options.task is Task.FILL_MASK else None
    batch = check_batch(fill_mask_checkpoint / "tokenizer.json", WIDE, mask_id)
    parity = check_parity(path, WIDE, weights, options, precision, batch)
    assert parity.mean_cosine >= OPENVINO_BARS[precision, options.task].mean_cosine
    assert sorted(child.name for child in tmp_path.iterdir()) == ["model.bin", "model.xml"]


@needs_openvino
@pytest.mark.parametrize("options", TASKS, ids=lambda options: options.task)
def test_weights_take_a_half_and_a_quarter(tmp_path: Path, options: GraphOptions) -> None:
    weights = random_weights(Recipe(config=dataclasses.replace(WIDE, hidden_size=512)))
    sizes = {}
    for precision in Precision:
        folder = tmp_path / precision
        folder.mkdir()
        write_graph(
            dataclasses.replace(WIDE, hidden_size=512),
            weights,
            options,
            precision,
            folder / "model.xml",
        )
        sizes[precision] = (folder / "model.bin").stat().st_size
    assert sizes[Precision.FP16] / sizes[Precision.FP32] == pytest.approx(0.5, abs=0.01)
    assert sizes[Precision.INT8] / sizes[Precision.FP32] == pytest.approx(0.25, abs=0.02)


@needs_openvino
def test_8_bit_answers_do_not_depend_on_the_company(
    tmp_path: Path, fill_mask_checkpoint: Path
) -> None:
    weights = random_weights(Recipe(config=WIDE))
    path = tmp_path / "model.xml"
    write_graph(WIDE, weights, TASKS[0], Precision.INT8, path)
    tokens = check_batch(fill_mask_checkpoint / "tokenizer.json", WIDE, None).tokens
    together = run_openvino(path, tokens)["embedding"]
    for row in range(len(together)):
        alone = run_openvino(path, {name: array[row : row + 1] for name, array in tokens.items()})
        np.testing.assert_allclose(alone["embedding"][0], together[row], rtol=0, atol=1e-6)


@needs_openvino
def test_a_build_for_openvino_publishes_a_model_of_that_backend(
    embed_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["build", str(embed_checkpoint), "--model-repository", str(tmp_path), "--name", "m"]
    assert trivet([*typed, "--to", "openvino", "--precision", "int8"]) == 0
    version = tmp_path / "m" / "1"
    assert {path.name for path in version.iterdir()} == {"model.xml", "model.bin", "build.json"}
    assert 'backend: "openvino"' in (tmp_path / "m" / "config.pbtxt").read_text()
    written = json.loads((version / "build.json").read_text())
    assert written["recipe"]["format"] == "openvino"
    assert written["recipe"]["precision"] == "int8"
    assert set(written["files"]) == {"model.xml", "model.bin"}
    assert "openvino" in written["tools"]

    capsys.readouterr()
    assert trivet([*typed, "--to=openvino", "--precision", "int8"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert all(line.endswith("up to date") for line in told[1:])
    assert trivet([*typed]) == 0
    assert (tmp_path / "m" / "2" / "model.onnx").is_file()
    assert 'backend: "onnxruntime"' in (tmp_path / "m" / "config.pbtxt").read_text()


def test_without_openvino_a_build_for_it_names_the_extra(
    embed_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = command.find_spec
    monkeypatch.setattr(
        command, "find_spec", lambda name: None if name == "openvino" else here(name)
    )
    typed = ["build", str(embed_checkpoint), "--model-repository", str(tmp_path / "models")]
    assert trivet([*typed, "--to", "openvino"]) == 2
    told = capsys.readouterr().err
    assert "openvino not installed; pip install 'trivet[server,openvino]'" in told
    assert not (tmp_path / "models").exists()
