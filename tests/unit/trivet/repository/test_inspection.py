"""Would the models of a repository load? Told without serving, each with all its faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.backend.contract import Artifact, Backend, Instance, LoadContext, Signature
from trivet.config import ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.errors import Fault, InvalidConfig, Unavailable
from trivet.repository.inspection import Inspected, inspect
from trivet.repository.layout import read_repositories

TENSORS = """
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 }
"""
PIPELINE = """
platform: "ensemble"
max_batch_size: 8
input { name: "X" data_type: TYPE_FP32 dims: 4 }
output { name: "Y" data_type: TYPE_FP32 dims: 4 }
ensemble_scheduling { step {
  model_name: "encoder" model_version: -1
  input_map { key: "x" value: "X" } output_map { key: "y" value: "Y" }
} }
"""


def add(root: Path, name: str, config: str | None, *files: str) -> None:
    (root / name).mkdir()
    if config is not None:
        (root / name / "config.pbtxt").write_text(config)
    for file in files:
        (root / name / file).parent.mkdir(parents=True, exist_ok=True)
        (root / name / file).touch()


def look(root: Path, backend: Backend | None = None) -> dict[str, Inspected]:
    """Every model by name; opened with `backend`, if there is one."""
    faults = Faults()
    snapshot = read_repositories([root], faults)
    faults.raise_if_any()
    load_backend = {"onnxruntime": backend}.__getitem__ if backend else None
    models = inspect(snapshot, ("onnxruntime",), load_backend)
    return {model.folder.name: model for model in models}


def told(model: Inspected) -> list[tuple[str, str]]:
    assert all(fault.cure for fault in model.faults)
    return [(fault.where, fault.what) for fault in model.faults]


def test_sound_models_have_no_faults(tmp_path: Path) -> None:
    add(tmp_path, "encoder", TENSORS, "1/model.onnx", "2/model.onnx")
    add(tmp_path, "embed", PIPELINE, "1/.keep")
    add(tmp_path, "silent", None, "1/model.onnx")
    models = look(tmp_path)
    assert [told(model) for model in models.values()] == [[], [], []]
    assert models["encoder"].versions == (2,)
    assert models["encoder"].backend == models["silent"].backend == "onnxruntime"
    assert models["embed"].backend == ""


def test_each_models_faults_are_its_own(tmp_path: Path) -> None:
    add(tmp_path, "broken", "max_batch_size: -1 foo: 2", "1/model.onnx")
    add(tmp_path, "empty", TENSORS)
    add(tmp_path, "hollow", 'platform: "onnxruntime_onnx" version_policy { all { } }', "1/a", "2/b")
    add(tmp_path, "torn", 'backend: "tensorrt"', "1/model.plan")
    add(tmp_path, "unknown", "", "1/weights.bin")
    add(tmp_path, "void", "version_policy { specific { versions: [ 1, 4 ] } }", "1/model.onnx")
    models = look(tmp_path)
    assert told(models["broken"])[1][0] == "broken/config.pbtxt: max_batch_size"
    assert len(models["broken"].faults) == 2
    assert told(models["empty"]) == [("empty", "has no version")]
    assert told(models["hollow"]) == [
        ("hollow/1", "there is no 'model.onnx'"),
        ("hollow/2", "there is no 'model.onnx'"),
    ]
    assert told(models["torn"]) == [
        ("torn/config.pbtxt: backend", "there is no backend 'tensorrt'")
    ]
    assert "onnxruntime" in models["torn"].faults[0].cure
    assert [where for where, _ in told(models["unknown"])] == ["unknown/1"]
    assert told(models["void"]) == [
        ("void/config.pbtxt: version_policy.specific.versions", "there is no version 4")
    ]


@pytest.mark.parametrize(
    ("written", "instead", "place"),
    [
        ('"encoder"', '"encode"', "step[0].model_name"),
        ("model_version: -1", "model_version: 3", "step[0].model_version"),
        ('key: "x"', 'key: "X"', "step[0].input_map"),
        ('key: "y"', 'key: "Y"', "step[0].output_map"),
    ],
)
def test_wrong_wiring_is_a_fault_of_the_pipeline(
    tmp_path: Path, written: str, instead: str, place: str
) -> None:
    add(tmp_path, "encoder", TENSORS, "1/model.onnx")
    add(tmp_path, "embed", PIPELINE.replace(written, instead), "1/.keep")
    models = look(tmp_path)
    assert not models["encoder"].faults
    assert told(models["embed"])[0][0] == f"embed/config.pbtxt: ensemble_scheduling.{place}"


def test_a_pipeline_over_a_faulty_model_is_faulty(tmp_path: Path) -> None:
    add(tmp_path, "encoder", TENSORS, "1/other.onnx")
    add(tmp_path, "embed", PIPELINE, "1/.keep")
    (fault,) = told(look(tmp_path)["embed"])
    assert fault[1] == "model 'encoder' cannot be loaded"


class Opening:
    """A backend that opens every artifact with one signature, or fails as it is told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.signature = Signature(
            inputs=(TensorSpec(name="x", datatype="FP32", dims=(-1, 4)),),
            outputs=(TensorSpec(name="y", datatype="FP32", dims=(-1, 4)),),
        )
        self.failure = failure
        self.opened: list[str] = []
        self.closed = 0

    def open(self, config: ModelConfig, context: LoadContext) -> Artifact:
        assert config.backend == "onnxruntime"
        assert context.path.name == str(context.version)
        self.opened.append(context.where)
        if self.failure:
            raise self.failure
        return self

    def instance(self, config: ModelConfig) -> Instance:
        raise AssertionError("inspecting needs no instance")

    def close(self) -> None:
        self.closed += 1


def test_opening_compares_every_version_and_completes_the_config(tmp_path: Path) -> None:
    backend = Opening()
    policy = "version_policy { all { } }"
    add(tmp_path, "silent", policy, "1/model.onnx", "3/model.onnx")
    (model,) = look(tmp_path, backend).values()
    assert backend.opened == ["silent/1", "silent/3"]
    assert backend.closed == 2
    assert model.config is not None
    assert model.config.inputs == (TensorSpec(name="x", datatype="FP32", dims=(4,)),)


def test_what_the_artifact_contradicts_is_a_fault(tmp_path: Path) -> None:
    backend = Opening()
    add(tmp_path, "encoder", TENSORS.replace("dims: 4", "dims: 5"), "1/model.onnx")
    (model,) = look(tmp_path, backend).values()
    assert [where for where, _ in told(model)] == ["encoder/1: input 'x'", "encoder/1: output 'y'"]
    assert backend.closed == 1


@pytest.mark.parametrize(
    ("failure", "what"),
    [
        (InvalidConfig([Fault("encoder/1/model.onnx", "is torn", "mend it")]), "is torn"),
        (Unavailable("no device"), "no device"),
        (ValueError("bad magic"), "backend 'onnxruntime' failed on it: ValueError: bad magic"),
    ],
)
def test_an_artifact_that_cannot_be_opened_is_a_fault(
    tmp_path: Path, failure: Exception, what: str
) -> None:
    backend = Opening(failure)
    add(tmp_path, "encoder", TENSORS, "1/model.onnx")
    (model,) = look(tmp_path, backend).values()
    assert [said for _, said in told(model)] == [what]
