"""FP16 and INT8: the size they promise, and answers near enough - measured, or refused."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.unit.workshop.checkpoints import MASK_ID, TINY, Recipe, random_weights
from trivet.errors import InvalidConfig
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.check_batch import CheckBatch, check_batch
from trivet_backends.workshop.graph.fill_mask import PROBABILITIES, TOKEN_IDS
from trivet_backends.workshop.graph.model import bert_graph
from trivet_backends.workshop.options import GraphOptions, Precision, Task
from trivet_backends.workshop.parity import BARS, check_parity
from trivet_backends.workshop.precision import write_graph

BEST = [TOKEN_IDS, PROBABILITIES]
# Wide enough that weights, not nodes, fill the file.
WIDE = dataclasses.replace(TINY, hidden_size=128, intermediate_size=512, heads=4)
TASKS = [
    GraphOptions(task=Task.EMBED, hidden_state=True),
    GraphOptions(task=Task.FILL_MASK, candidates=20),
]


def batch_for(checkpoint: Path, config: BertConfig, task: Task) -> CheckBatch:
    mask_id = MASK_ID if task is Task.FILL_MASK else None
    return check_batch(checkpoint / "tokenizer.json", config, mask_id)


@pytest.mark.parametrize("options", TASKS, ids=lambda options: options.task)
@pytest.mark.parametrize("precision", Precision)
def test_a_graph_reaches_the_bar_of_its_precision(
    tmp_path: Path, fill_mask_checkpoint: Path, options: GraphOptions, precision: Precision
) -> None:
    weights = random_weights(Recipe(config=WIDE, untied=True))
    path = tmp_path / "model.onnx"
    write_graph(WIDE, weights, options, precision, path)
    batch = batch_for(fill_mask_checkpoint, WIDE, options.task)
    parity = check_parity(path, WIDE, weights, options, precision, batch)
    assert parity.mean_cosine >= BARS[precision, options.task].mean_cosine
    assert [child.name for child in tmp_path.iterdir()] == ["model.onnx"]


def test_weights_take_a_half_and_a_quarter(tmp_path: Path) -> None:
    weights = random_weights(Recipe(config=WIDE))
    sizes = {}
    for precision in Precision:
        path = tmp_path / f"{precision}.onnx"
        write_graph(WIDE, weights, TASKS[1], precision, path)
        sizes[precision] = sum(len(tensor.raw_data) for tensor in onnx.load(path).graph.initializer)
    assert sizes[Precision.FP16] / sizes[Precision.FP32] == pytest.approx(0.5, abs=0.02)
    assert sizes[Precision.INT8] / sizes[Precision.FP32] == pytest.approx(0.25, abs=0.04)


def test_int8_keeps_attention_fused_and_multiplies_in_8_bits(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_graph(TINY, random_weights(Recipe()), TASKS[1], Precision.INT8, path)
    ops = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert ops["QAttention"] == TINY.layers
    assert ops["MatMul"] == 0
    assert ops["MatMulInteger"] == 3 * TINY.layers + 2  # and the head's transform and decoder


def test_an_8_bit_table_answers_each_row_by_itself() -> None:
    weights = random_weights(Recipe())
    model = bert_graph(TINY, weights, TASKS[1], int8_tables=True)
    run = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run
    rng = np.random.default_rng(0)
    rows = {
        "input_ids": rng.integers(0, TINY.vocab_size, (4, 9)),
        "attention_mask": np.ones((4, 9), np.int64),
        "token_type_ids": np.zeros((4, 9), np.int64),
        "mask_positions": np.full((4, 1), 3),
    }
    ids, chances = run(BEST, rows)
    for row in range(4):
        alone_ids, alone = run(BEST, {key: x[row : row + 1] for key, x in rows.items()})
        np.testing.assert_array_equal(alone_ids[0], ids[row])
        np.testing.assert_allclose(alone[0], chances[row], atol=1e-6)


def test_the_check_batch_has_every_shape_that_matters(fill_mask_checkpoint: Path) -> None:
    batch = batch_for(fill_mask_checkpoint, TINY, Task.FILL_MASK)
    mask = batch.tokens["attention_mask"]
    lengths = mask.sum(axis=1)
    assert len(set(lengths)) > 4
    assert lengths.max() <= TINY.max_positions
    starts, holes = mask[:, 0] == 0, (np.diff(mask, axis=1) > 0).any(axis=1)
    assert starts.any(), "a row padded on the left"
    assert (holes & ~starts).any(), "a row with holes"
    real = batch.mask_positions >= 0
    assert real[:, 0].all()
    assert (~real[:, 1]).any()
    rows, _ = np.nonzero(real)
    assert (batch.tokens["input_ids"][rows, batch.mask_positions[real]] == MASK_ID).all()


@pytest.mark.parametrize("options", TASKS, ids=lambda options: options.task)
@pytest.mark.parametrize("precision", Precision)
def test_a_graph_of_other_weights_is_refused_with_the_numbers(
    tmp_path: Path, fill_mask_checkpoint: Path, options: GraphOptions, precision: Precision
) -> None:
    path = tmp_path / "tiny" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    write_graph(TINY, random_weights(Recipe(seed=1)), options, precision, path)
    batch = batch_for(fill_mask_checkpoint, TINY, options.task)
    other = random_weights(Recipe(seed=2))
    for name in other:  # a strong opinion, so that fill-mask differs in direction too
        other[name] = other[name] * np.float32(4)
    with pytest.raises(InvalidConfig, match=rf"tiny in {precision}: .* nothing was published"):
        check_parity(path, TINY, other, options, precision, batch)


def test_nan_never_passes(tmp_path: Path, fill_mask_checkpoint: Path) -> None:
    weights = random_weights(Recipe())
    broken = {name: array * np.float32(1e38) for name, array in weights.items()}
    for precision in Precision:
        path = tmp_path / f"{precision}.onnx"
        write_graph(TINY, weights, TASKS[0], precision, path)
        batch = batch_for(fill_mask_checkpoint, TINY, Task.EMBED)
        with np.errstate(all="ignore"), pytest.raises(InvalidConfig):
            check_parity(path, TINY, broken, TASKS[0], precision, batch)


def test_quantizing_leaves_the_root_logger_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filters = list(logging.getLogger().filters)
    path = tmp_path / "model.onnx"
    write_graph(TINY, random_weights(Recipe()), TASKS[0], Precision.INT8, path)
    assert logging.getLogger().filters == filters
    assert not caplog.records
