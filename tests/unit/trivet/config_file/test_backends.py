"""Which backend runs a model, and which file it needs."""

from __future__ import annotations

import pytest

from trivet.config import ModelConfig
from trivet.config_file import Faults, artifact_of, backend_of, read_config


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


@pytest.mark.parametrize("backend", ["torch", "pytorch"])
def test_torch_takes_an_exported_program_where_there_is_no_torchscript(backend: str) -> None:
    config = ModelConfig(name="m")
    assert artifact_of(config, backend, ["model.pt2"]) == "model.pt2"
    assert artifact_of(config, backend, ["model.pt", "model.pt2"]) == "model.pt"
    assert artifact_of(config, backend, []) == "model.pt"
    assert backend_of(config, ["model.pt2"]) == "pytorch"
    assert backend_of(ModelConfig(name="m", default_model_filename="x.pt2"), []) == "pytorch"


def read(text: str) -> ModelConfig:
    faults = Faults()
    config = read_config(text, "m/config.pbtxt", "m", faults)
    assert config is not None
    return config


@pytest.mark.parametrize(
    ("platform", "backend", "artifact"),
    [
        ("onnxruntime_onnx", "onnxruntime", "model.onnx"),
        ("tensorrt_plan", "tensorrt", "model.plan"),
        ("pytorch_libtorch", "pytorch", "model.pt"),
        ("libtorch", "pytorch", "model.pt"),
        ("torch_aoti", "pytorch", "model.pt2"),
        ("tensorflow_graphdef", "tensorflow", "model.graphdef"),
        ("tensorflow_savedmodel", "tensorflow", "model.savedmodel"),
    ],
)
@pytest.mark.parametrize("both", [False, True])
def test_tritons_platforms_name_a_backend_and_its_file(
    platform: str, backend: str, artifact: str, both: bool
) -> None:
    named = f'backend: "{backend}"' if both else ""
    config = read(f'platform: "{platform}" {named}')
    assert (config.backend, config.platform) == (backend, platform)
    assert artifact_of(config, config.backend) == artifact


@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt", "pytorch", "openvino", "python"])
def test_tritons_backends_have_their_usual_file(backend: str) -> None:
    config = read(f'backend: "{backend}"')
    assert config.backend == backend
    assert artifact_of(config, backend).startswith("model.")
