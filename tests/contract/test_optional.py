"""Optional inputs on a real engine: a request without one gets what it gets alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tests.contract.subjects import completed, context
from tests.harness import artifacts
from trivet.backend.contract import Answer, Batch, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet_backends.onnxruntime import OnnxRuntimeBackend

A = TensorSpec(name="a", datatype="FP32", dims=(2,))
B = TensorSpec(name="b", datatype="FP32", dims=(2,), optional=True)


def config(*inputs: TensorSpec) -> ModelConfig:
    return ModelConfig(name="subject", backend="onnxruntime", max_batch_size=8, inputs=inputs)


def test_who_sends_an_optional_input_and_who_does_not_harm_each_other_not(tmp_path: Path) -> None:
    artifacts.write_optional_graph(tmp_path / "model.onnx")
    artifact = OnnxRuntimeBackend().open(config(A, B), context(tmp_path))
    instance = artifact.instance(completed(config(A, B), artifact.signature))
    a, b = np.array([[1, 2]], np.float32), np.array([[3, 4]], np.float32)
    requests = [Rows({"a": a}), Rows({"a": a, "b": b}), Rows({"a": a * 2}), Rows({"b": b, "a": b})]
    sums = [
        answer.outputs["sum"].tolist()
        for answer in instance.execute(Batch(requests, time.monotonic_ns))
        if isinstance(answer, Answer)
    ]
    assert sums == [[[11, 22]], [[4, 6]], [[12, 24]], [[6, 8]]]
    instance.close()
    artifact.close()


def test_an_input_with_a_default_is_the_clients_only_if_the_config_names_it(tmp_path: Path) -> None:
    artifacts.write_optional_graph(tmp_path / "model.onnx")
    for inputs in ((A,), (A, B), (B,)):
        artifact = OnnxRuntimeBackend().open(config(*inputs), context(tmp_path))
        shown = completed(config(*inputs), artifact.signature).inputs
        assert {spec.name: spec.optional for spec in shown} == {
            "a": False,
            **({"b": True} if B in inputs else {}),
        }
        artifact.close()
