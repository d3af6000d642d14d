"""What quantize decides, in tables of cases: variants, scores, order, samples, weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trivet.errors import InvalidConfig
from trivet_backends.workshop.finetune import metrics
from trivet_backends.workshop.openvino_file import quantized
from trivet_backends.workshop.quantize import report, scores
from trivet_backends.workshop.quantize.options import Weights
from trivet_backends.workshop.quantize.report import Row, judged
from trivet_backends.workshop.quantize.samples import parted, read_texts
from trivet_backends.workshop.quantize.scores import Score
from trivet_backends.workshop.quantize.tables import store_half, store_tables
from trivet_backends.workshop.quantize.variants import (
    ONNX_FP16,
    ONNX_INT8_DYNAMIC,
    SOURCE,
    TORCH_INT8,
    VARIANTS,
    chosen,
)
from trivet_backends.workshop.rounding import compensated


def row(name: str, ms: float, kept: float, least: float = 0.95) -> Row:
    made = Row(
        variant=VARIANTS[name],
        size_bytes=10,
        score=Score(kept=kept, details={}),
        milliseconds={32: ms},
    )
    return judged(made, least)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("onnx-int4", "there is no variant 'onnx-int4'; known are onnx-int8-dynamic"),
        ("onnx-fp16,onnx-fp16", "'onnx-fp16' is named twice"),
        ("", "there is no variant ''"),
    ],
)
def test_variants_that_are_none_are_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidConfig, match=told):
        chosen(text)


def test_a_variant_that_was_named_and_lacks_its_toolchain_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = "trivet_backends.workshop.quantize.variants.find_spec"
    monkeypatch.setattr(found, lambda name: None if name == "nncf" else object())
    with pytest.raises(InvalidConfig, match=r"nncf not installed; pip install 'trivet\[nncf\]'"):
        chosen("openvino-int8-static")
    ready, left_out = chosen(None)
    assert "openvino-int8-static" not in [variant.name for variant in ready]
    assert left_out == {"openvino-int8-static": "pip install 'trivet[nncf]'"}


def test_embeddings_keep_the_lower_of_cosine_and_neighbours() -> None:
    source = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    turned = np.array([[1, 0], [0, 1], [0.1, 0.9]], np.float32)  # the second has a new neighbour
    score = scores.embeddings(source, turned)
    assert score.details["neighbour_unchanged"] == pytest.approx(1 / 3)
    assert score.kept == pytest.approx(1 / 3)
    assert scores.embeddings(source, source * 3).kept == pytest.approx(1)


def test_decisions_agree_one_by_one_or_as_a_whole() -> None:
    a, b = [np.array([1, 2]), np.array([3, 4])], [np.array([1, 2]), np.array([3, 5])]
    assert scores.agreement(a, b, whole=False).kept == 0.75
    assert scores.agreement(a, b, whole=True).kept == 0.5


def test_a_metric_is_held_against_the_sources() -> None:
    score = scores.held_against({"f1": 0.75, "loss": 1}, {"f1": 0.5, "loss": 2}, "f1")
    assert score.kept == pytest.approx(2 / 3)
    assert score.details == {"f1": 0.5, "source_f1": 0.75, "loss": 2}
    assert scores.held_against({"f1": 0}, {"f1": 1}, "f1").kept == 0


def test_ranks_correlate_whatever_the_scale_and_ties_share_theirs() -> None:
    numbers = np.array([1.0, 2.0, 2.0, 9.0])
    assert metrics.spearman(numbers, numbers**3) == pytest.approx(1)
    assert metrics.spearman(numbers, -numbers) == pytest.approx(-1)
    assert metrics.spearman(numbers, np.ones(4)) == 0
    assert metrics.spearman(numbers, np.array([1, 2, 3, 4])) == pytest.approx(0.9487, abs=1e-4)


def test_the_best_is_the_fastest_that_keeps_the_accuracy() -> None:
    rows = [
        Row(variant=SOURCE, score=Score(kept=1, details={}), size_bytes=40, milliseconds={32: 3.0}),
        row("onnx-fp16", 3.1, 1.0),
        row("onnx-int8-static", 1.0, 0.949),
        row("onnx-int8-dynamic", 2.0, 0.95),
        Row(variant=TORCH_INT8, verdict="left out"),
    ]
    best = report.best(rows)
    assert best is not None and best.variant is ONNX_INT8_DYNAMIC
    order = [one.variant.name for one in report.ranked(rows)]
    named = ["source", "onnx-int8-dynamic", "onnx-fp16", "onnx-int8-static", "torch-int8"]
    assert order == named
    lines = report.table(rows, "agreement").splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == named
    assert lines[2].split()[2:7] == ["0.0", "4.00", "0.9500", "2.00", "1.50"]
    assert "below 0.95: not published" in lines[4]
    assert report.best([row("onnx-fp16", 1, 0.5)]) is None


def test_texts_that_calibrate_do_not_judge_unless_they_are_few() -> None:
    some, rest = parted(range(100), 10, 1000)
    assert len(some) == 10
    assert sorted([*some, *rest]) == [*range(100)]
    assert parted(range(5), 10, 1000) == ([*range(5)], [*range(5)])
    assert len(parted(range(100), 10, 7)[1]) == 7
    some, rest = parted(range(40), 128, 1000)  # never more than half
    assert (len(some), len(rest)) == (20, 20)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "holds no text; give one per line"),
        (b"\n  \n", "holds no text"),
        (b"fine\nfine\n\xff\n", "line 3: byte 0xff is not UTF-8"),
    ],
)
def test_a_file_without_texts_is_refused(tmp_path: Path, raw: bytes, told: str) -> None:
    file = tmp_path / "texts"
    file.write_bytes(raw)
    with pytest.raises(InvalidConfig, match=told):
        read_texts(file)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_matrix_is_its_levels_within_half_a_step(*, symmetric: bool, per_channel: bool) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((8, 64)).astype(np.float32) + np.float32(0.5)
    levels, zero, scale = quantized(matrix, 0, symmetric=symmetric, per_channel=per_channel)
    assert scale.shape == ((8, 1) if per_channel else (1, 1))
    again = (levels.astype(np.float32) - zero) * scale
    assert np.abs(again - matrix).max() <= scale.max() * 1.01
    if symmetric:
        assert set(zero.ravel()) == {128}


@pytest.mark.parametrize("inputs", [40, 150])  # less than a block, and more than two
def test_rounding_by_the_inputs_changes_products_less(inputs: int) -> None:
    rng = np.random.default_rng(2)
    mixed = rng.standard_normal((inputs // 4, inputs)) * rng.uniform(0.1, 3, inputs)
    x = (rng.standard_normal((400, inputs // 4)) @ mixed + 1).astype(np.float32)
    matrix = rng.standard_normal((24, inputs)).astype(np.float32)
    levels, zero, scale = quantized(matrix, 0)
    better = compensated(matrix, x.T @ x, zero, scale)
    assert better.dtype == np.uint8
    errors = [
        np.abs(x @ ((stored.astype(np.float32) - zero) * scale - matrix).T).mean()
        for stored in (levels, better)
    ]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("weights", [Weights(), Weights(symmetric=False, per_channel=False)])
def test_tables_in_8_bits_look_up_and_decode_nearly_the_same(weights: Weights) -> None:
    import onnx

    model, table, feeds = _tied_model()
    store_tables(model, weights)
    onnx.checker.check_model(model)
    assert not any(
        t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2 and t.dims[0] == 128
        for t in model.graph.initializer
        if t.name == "table"
    )
    rows, products = _run(model, feeds)
    step = np.abs(table).max() / 100
    np.testing.assert_allclose(rows, table[feeds["ids"]], atol=step)
    np.testing.assert_allclose(products, table @ feeds["x"], atol=step * 40)


def test_weights_in_half_are_half_the_size_and_nearly_the_same() -> None:
    model, table, feeds = _tied_model()
    before = len(model.SerializeToString())
    store_half(model)
    assert len(model.SerializeToString()) < before * 0.55
    rows, _ = _run(model, feeds)
    np.testing.assert_allclose(rows, table[feeds["ids"]], rtol=1e-3, atol=1e-4)
    assert ONNX_FP16.bits == 16


def _tied_model() -> tuple[object, np.ndarray, dict[str, np.ndarray]]:
    """A table that is looked up in and multiplied with, as a tied decoder's."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    table = rng.standard_normal((128, 64)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("MatMul", ["table", "x"], ["products"]),
        ],
        "tied",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [64, 3]),
        ],
        [
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, "n", 64]),
            helper.make_tensor_value_info("products", TensorProto.FLOAT, [128, 3]),
        ],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    x = rng.standard_normal((64, 3)).astype(np.float32)
    return model, table, {"ids": np.array([[3, 0, 127]]), "x": x}


def _run(model: object, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(),  # type: ignore[attr-defined]
        providers=["CPUExecutionProvider"],
    )
    found: list[np.ndarray] = session.run(["rows", "products"], feeds)
    return found
