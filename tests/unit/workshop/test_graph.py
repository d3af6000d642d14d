"""Graphs give the numbers of plain numpy, for every geometry and every kind of mask."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.unit.workshop.checkpoints import TINY, Recipe, random_weights
from trivet.errors import InvalidConfig
from trivet_backends.workshop.bert_config import Activation, BertConfig
from trivet_backends.workshop.graph import builder
from trivet_backends.workshop.graph.fill_mask import (
    PROBABILITIES,
    TARGET_IDS,
    TARGET_PROBABILITIES,
    TOKEN_IDS,
)
from trivet_backends.workshop.graph.model import bert_graph
from trivet_backends.workshop.numpy_bert import NumpyBert
from trivet_backends.workshop.options import GraphOptions, Pooling, Task

Arrays = dict[str, np.ndarray]
EMBED = GraphOptions(task=Task.EMBED, hidden_state=True)
FILL_MASK = GraphOptions(task=Task.FILL_MASK, candidates=10)
BEST = [TOKEN_IDS, PROBABILITIES]
ALIKE = 2e-6

GEOMETRIES = {
    "tiny": Recipe(),
    "untied head": Recipe(untied=True),
    "one segment": Recipe(config=dataclasses.replace(TINY, type_vocab_size=1)),
    "five segments": Recipe(config=dataclasses.replace(TINY, type_vocab_size=5)),
    "one layer, one head": Recipe(config=dataclasses.replace(TINY, layers=1, heads=1)),
    "large epsilon": Recipe(config=dataclasses.replace(TINY, layer_norm_eps=1e-3)),
    **{
        kind.value: Recipe(config=dataclasses.replace(TINY, activation=kind)) for kind in Activation
    },
}


def session(model: onnx.ModelProto, optimized: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if optimized:
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def awkward_batch(config: BertConfig) -> Arrays:
    """12 places: full, padded right, left and on both sides, with holes, one token, none."""
    rng = np.random.default_rng(3)
    mask = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
            [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
            [1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 1],
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
    )
    return {
        "input_ids": rng.integers(0, config.vocab_size, mask.shape),
        "attention_mask": mask,
        "token_type_ids": rng.integers(0, config.type_vocab_size, mask.shape),
    }


@pytest.mark.parametrize("recipe", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_hidden_states_are_right_at_every_attended_place(recipe: Recipe) -> None:
    weights, batch = random_weights(recipe), awkward_batch(recipe.config)
    run = session(bert_graph(recipe.config, weights, EMBED)).run
    embedding, hidden = run(["embedding", "last_hidden_state"], batch)
    reference = NumpyBert(recipe.config, weights)
    attended = batch["attention_mask"] == 1
    expected = reference.hidden_states(**batch)
    np.testing.assert_allclose(hidden[attended], expected[attended], atol=ALIKE)
    np.testing.assert_allclose(embedding, reference.embedding(**batch), atol=ALIKE)
    assert not embedding[-1].any()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", Pooling)
def test_every_pooling_is_right_without_the_hidden_state_too(
    pooling: Pooling, normalize: bool
) -> None:
    weights, batch = random_weights(Recipe()), awkward_batch(TINY)
    options = GraphOptions(task=Task.EMBED, pooling=pooling, normalize=normalize)
    runner = session(bert_graph(TINY, weights, options))
    assert [output.name for output in runner.get_outputs()] == ["embedding"]
    (embedding,) = runner.run(None, batch)
    expected = NumpyBert(TINY, weights).embedding(**batch, pooling=pooling, normalize=normalize)
    np.testing.assert_allclose(embedding, expected, atol=ALIKE)


@pytest.mark.parametrize("recipe", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_candidates_are_the_likeliest_of_the_vocabulary_best_first(recipe: Recipe) -> None:
    weights, batch = random_weights(recipe), awkward_batch(recipe.config)
    positions = np.array([[0, 11], [4, -1], [6, 11], [2, 7], [8, 0], [7, -1], [0, -1]])
    runner = session(bert_graph(recipe.config, weights, FILL_MASK))
    ids, chances = runner.run(BEST, {**batch, "mask_positions": positions})
    full = NumpyBert(recipe.config, weights).mask_probabilities(**batch, mask_positions=positions)
    real = positions >= 0
    best = -np.sort(-full, axis=-1)[..., : FILL_MASK.candidates]
    np.testing.assert_allclose(chances[real], best[real], atol=ALIKE)
    np.testing.assert_allclose(
        np.take_along_axis(full, ids, axis=-1)[real], chances[real], atol=ALIKE
    )
    assert (np.diff(chances, axis=-1) <= 0).all()


def test_a_position_behind_the_rows_tokens_answers_the_same_alone_and_padded() -> None:
    runner = session(bert_graph(TINY, random_weights(Recipe()), FILL_MASK))
    batch = awkward_batch(TINY)
    row = {name: array[:1, :4] for name, array in batch.items()}
    row["attention_mask"] = np.ones_like(row["attention_mask"])
    padded = {name: np.pad(array, ((0, 0), (0, 9))) for name, array in row.items()}
    behind = np.array([[4, 7, -1, 0]])  # of four tokens
    alone = runner.run(None, {**row, "mask_positions": behind})
    together = runner.run(None, {**padded, "mask_positions": behind})
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_allclose(alone[1], together[1], atol=1e-6)
    np.testing.assert_array_equal(alone[0][0, :3], alone[0][0, [3, 3, 3]])


def test_positions_outside_the_row_are_safe_and_harm_nobody() -> None:
    weights, batch = random_weights(Recipe()), awkward_batch(TINY)
    runner = session(bert_graph(TINY, weights, FILL_MASK))
    rows = len(batch["input_ids"])
    wild = np.array([[3, -1, 12, 2**62, -(2**62)]] * rows)
    ids, chances = runner.run(BEST, {**batch, "mask_positions": wild})
    alone_ids, alone = runner.run(BEST, {**batch, "mask_positions": wild[:, :1]})
    np.testing.assert_array_equal(ids[:, :1], alone_ids)
    np.testing.assert_allclose(chances[:, :1], alone, atol=ALIKE)
    assert np.isfinite(chances).all()


def test_no_masks_at_all_give_no_candidates() -> None:
    runner = session(bert_graph(TINY, random_weights(Recipe()), FILL_MASK))
    batch = awkward_batch(TINY)
    ids, chances = runner.run(
        BEST, {**batch, "mask_positions": np.zeros((len(batch["input_ids"]), 0), np.int64)}
    )
    assert ids.shape == chances.shape == (7, 0, FILL_MASK.candidates)


def test_targets_have_their_probability_among_the_whole_vocabulary() -> None:
    weights, batch = random_weights(Recipe()), awkward_batch(TINY)
    positions = np.array([[0, 11], [4, -1], [6, 11], [2, 7], [8, 0], [7, -1], [0, -1]])
    targets = np.random.default_rng(4).integers(0, TINY.vocab_size, (7, 3))
    targets[2, 2] = -1
    runner = session(bert_graph(TINY, weights, FILL_MASK))
    (found,) = runner.run(
        [TARGET_PROBABILITIES], {**batch, "mask_positions": positions, TARGET_IDS: targets}
    )
    full = NumpyBert(TINY, weights).mask_probabilities(**batch, mask_positions=positions)
    asked = np.broadcast_to(np.maximum(targets, 0)[:, None], (7, 2, 3))
    expected = np.take_along_axis(full, asked, axis=2)
    real = positions >= 0
    np.testing.assert_allclose(found[real], expected[real], atol=ALIKE)
    none = np.zeros((7, 0), np.int64)
    (found,) = runner.run(
        [TARGET_PROBABILITIES], {**batch, "mask_positions": none, TARGET_IDS: targets}
    )
    assert found.shape == (7, 0, 3)


def test_a_row_alone_equals_the_row_in_a_batch() -> None:
    weights, batch = random_weights(Recipe()), awkward_batch(TINY)
    runner = session(bert_graph(TINY, weights, EMBED))
    (together,) = runner.run(["embedding"], batch)
    for row in range(len(together)):
        (alone,) = runner.run(["embedding"], {key: x[row : row + 1] for key, x in batch.items()})
        np.testing.assert_allclose(alone[0], together[row], atol=ALIKE)


@pytest.mark.parametrize("options", [EMBED, FILL_MASK, GraphOptions(task=Task.EMBED)])
def test_onnx_runtime_fuses_every_layer(tmp_path: Path, options: GraphOptions) -> None:
    optimized = tmp_path / "fused.onnx"
    session(bert_graph(TINY, random_weights(Recipe()), options), optimized)
    fused = Counter(node.op_type for node in onnx.load(optimized).graph.node)
    assert fused["Attention"] == TINY.layers
    assert fused["SkipLayerNormalization"] == 1 + 2 * TINY.layers
    assert fused["BiasGelu"] == TINY.layers + (options.task is Task.FILL_MASK)
    assert not fused["Softmax"] - (options.task is Task.FILL_MASK)


@pytest.mark.parametrize("options", [EMBED, FILL_MASK])
def test_a_graph_is_portable_onnx(options: GraphOptions) -> None:
    model = bert_graph(TINY, random_weights(Recipe()), options)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    dims = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert dims["input_ids"] == dims["attention_mask"] == ["batch", "tokens"]
    if options.task is Task.FILL_MASK:
        assert dims["mask_positions"] == ["batch", "masks"]
        assert dims["token_ids"] == dims["probabilities"] == ["batch", "masks", 10]
    else:
        assert dims["embedding"] == ["batch", 32]
        assert dims["last_hidden_state"] == ["batch", "tokens", 32]


@pytest.mark.parametrize("int8_tables", [False, True])
def test_a_tied_table_is_stored_once(int8_tables: bool) -> None:
    weights = random_weights(Recipe())
    model = bert_graph(TINY, weights, FILL_MASK, int8_tables=int8_tables)
    table = [x for x in model.graph.initializer if list(x.dims) == [TINY.vocab_size, 32]]
    assert len(table) == 1
    stored = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    most = sum(array.nbytes for array in weights.values())
    assert stored < most + 2000


def test_weights_beyond_the_limit_of_one_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "MAX_WEIGHT_BYTES", 2**16)  # 2 GiB would take the test minutes
    with pytest.raises(InvalidConfig, match="bert_embed: holds more than 0 MiB of weights"):
        bert_graph(TINY, random_weights(Recipe()), EMBED)


def test_the_geometry_of_bert_base_is_right() -> None:
    config = BertConfig(
        vocab_size=30_522,
        hidden_size=768,
        layers=2,
        heads=12,
        intermediate_size=3072,
        max_positions=512,
    )
    weights = random_weights(Recipe(config=config))
    batch = awkward_batch(config)
    positions = np.array([[0], [4], [6], [2], [8], [7], [0]])
    runner = session(bert_graph(config, weights, FILL_MASK))
    ids, chances = runner.run(BEST, {**batch, "mask_positions": positions})
    full = NumpyBert(config, weights).mask_probabilities(**batch, mask_positions=positions)
    np.testing.assert_allclose(np.take_along_axis(full, ids, axis=-1), chances, atol=1e-5)
