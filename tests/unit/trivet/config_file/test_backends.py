"""Which backend runs a model, and which file it needs."""

from __future__ import annotations

import pytest

from trivet.config import ModelConfig
from trivet.config_file import artifact_of, backend_of


@pytest.mark.parametrize(
    ("backend", "default_model_filename", "filenames", "expected"),
    [
        ("python", "", ["model.onnx"], "python"),
        ("", "", ["model.onnx"], "onnxruntime"),
        ("", "", ["README", "tokenizer.json"], "tokenizers"),
        ("", "", ["model.onnx", "tokenizer.json"], "onnxruntime"),
        ("", "", ["weights.bin"], ""),
        ("", "", [], ""),
        ("", "bert.int8.onnx", ["model.py"], "onnxruntime"),
        ("", "tokenizer.json", [], "tokenizers"),
        ("", "other.json", [], ""),
        ("", "onnx", [], ""),
    ],
)
def test_the_backend_is_as_written_or_told_by_a_name(
    backend: str, default_model_filename: str, filenames: list[str], expected: str
) -> None:
    config = ModelConfig(name="m", backend=backend, default_model_filename=default_model_filename)
    assert backend_of(config, filenames) == expected


def test_a_pipeline_has_no_backend() -> None:
    assert backend_of(ModelConfig(name="m", platform="ensemble"), ["model.onnx"]) == ""


def test_the_artifact_is_as_written_or_the_backends_usual_one() -> None:
    assert artifact_of(ModelConfig(name="m"), "onnxruntime") == "model.onnx"
    assert artifact_of(ModelConfig(name="m", default_model_filename="a.onnx"), "x") == "a.onnx"
    assert artifact_of(ModelConfig(name="m"), "a third party's") == ""
