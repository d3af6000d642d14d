"""Ragged batches on a real engine: whatever the company, each request gets what it gets alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.contract.subjects import completed, context
from tests.harness import artifacts
from trivet.backend.contract import Answer, Batch, Instance, Rows
from trivet.backend.reshaped import instance_of
from trivet.config import BatchInput, BatchInputKind, BatchOutput, ModelConfig, TensorSpec
from trivet.errors import EngineFailed
from trivet_backends.onnxruntime import OnnxRuntimeBackend

X = TensorSpec(name="x", datatype="FP32", dims=(-1, -1), ragged=True)
CONFIG = ModelConfig(
    name="subject",
    backend="onnxruntime",
    max_batch_size=8,
    inputs=(X,),
    outputs=(
        TensorSpec(name="sum", datatype="FP32", dims=(1,), reshape=()),
        TensorSpec(name="twice", datatype="FP32", dims=(-1, -1)),
    ),
    batch_inputs=(
        BatchInput(
            kind=BatchInputKind.ACCUMULATED_ELEMENT_COUNT,
            targets=("ends",),
            datatype="INT32",
            source="x",
        ),
        BatchInput(
            kind=BatchInputKind.ELEMENT_COUNT, targets=("counts",), datatype="INT32", source="x"
        ),
    ),
    batch_outputs=(BatchOutput(targets=("twice",), source="x"),),
)

SHAPES = ((1, 3, 2), (1, 1, 1), (1, 0, 4), (1, 2, 5))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    artifacts.write_ragged_graph(tmp_path / "model.onnx")
    artifact = OnnxRuntimeBackend().open(CONFIG.reshaped, context(tmp_path))
    config = completed(CONFIG, artifact.signature)
    assert [spec.name for spec in config.inputs] == ["x"]
    made = instance_of(artifact, config)
    yield made
    made.close()
    artifact.close()


def answers(instance: Instance, arrays: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    batch = Batch([Rows({"x": array}) for array in arrays], time.monotonic_ns)
    found = instance.execute(batch)
    assert all(isinstance(answer, Answer) for answer in found)
    return [dict(answer.outputs) for answer in found if isinstance(answer, Answer)]


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers, so that sums are exact in any order."""
    return np.random.default_rng(shape).integers(-9, 9, shape).astype(np.float32)


def test_a_request_gets_the_same_answer_alone_and_in_a_batch(instance: Instance) -> None:
    arrays = [numbers(shape) for shape in SHAPES]
    alone = [answers(instance, [array])[0] for array in arrays]
    together = answers(instance, arrays)
    for array, one, other in zip(arrays, alone, together, strict=True):
        assert one["sum"].tolist() == other["sum"].tolist() == [[array.sum()]]
        np.testing.assert_array_equal(one["twice"], array * 2, strict=True)
        np.testing.assert_array_equal(other["twice"], array * 2, strict=True)


def test_sums_per_request_do_not_do_for_requests_of_two_rows(instance: Instance) -> None:
    with pytest.raises(EngineFailed, match="batch inputs count requests: send one row in each"):
        answers(instance, [numbers((1, 2, 2)), numbers((2, 2, 2))])


def test_a_batch_output_that_follows_another_input_is_refused_not_guessed(tmp_path: Path) -> None:
    artifacts.write_ragged_graph(tmp_path / "model.onnx")
    fixed = replace(CONFIG.outputs[1], dims=(-1, 2))
    config = replace(CONFIG, outputs=(fixed,)).reshaped
    artifact = OnnxRuntimeBackend().open(config, context(tmp_path))
    made = artifact.instance(config)
    with pytest.raises(EngineFailed, match=r"batch output 'twice' has 6 elements"):
        made.execute(Batch([Rows({"x": numbers((1, 2, 3))})], time.monotonic_ns))
    artifact.close()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (BatchInputKind.ELEMENT_COUNT, [6, 2]),
        (BatchInputKind.ACCUMULATED_ELEMENT_COUNT, [6, 8]),
        (BatchInputKind.ACCUMULATED_ELEMENT_COUNT_WITH_ZERO, [0, 6, 8]),
        (BatchInputKind.MAX_ELEMENT_COUNT_AS_SHAPE, [0] * 6),
        (BatchInputKind.ITEM_SHAPE, [[3, 2], [1, 2]]),
        (BatchInputKind.ITEM_SHAPE_FLATTEN, [3, 2, 1, 2]),
    ],
)
@pytest.mark.parametrize("datatype", ["INT32", "FP32"])
def test_every_kind_of_batch_input_reaches_the_engine(
    kind: BatchInputKind, expected: list[object], datatype: str, tmp_path: Path
) -> None:
    """A graph that shows each row all it is told: told [...], row [batch] -> seen [batch, ...]."""
    element = {"INT32": TensorProto.INT32, "FP32": TensorProto.FLOAT}[datatype]
    sizes = ["n", "dimensions"][: 2 if kind is BatchInputKind.ITEM_SHAPE else 1]
    artifacts.write_graph(
        tmp_path / "model.onnx",
        [
            helper.make_node("Unsqueeze", ["told", "front"], ["one"]),
            helper.make_node("Gather", ["one", "row"], ["seen"]),
        ],
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["elements"]),
            helper.make_tensor_value_info("told", element, sizes),
            helper.make_tensor_value_info("row", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("seen", element, ["batch", *sizes])],
        [numpy_helper.from_array(np.array([0]), "front")],
    )
    told = BatchInput(kind=kind, targets=("told",), datatype=datatype, source="x")
    config = replace(CONFIG, outputs=(), batch_inputs=(told,), batch_outputs=())
    artifact = OnnxRuntimeBackend().open(config, context(tmp_path))
    made = artifact.instance(completed(config, artifact.signature))
    requests = [
        Rows({"x": numbers(shape), "row": np.array([0])}) for shape in ((1, 3, 2), (1, 1, 2))
    ]
    for answer in made.execute(Batch(requests, time.monotonic_ns)):
        assert isinstance(answer, Answer)
        assert answer.outputs["seen"].tolist() == [expected]
    made.close()
    artifact.close()
