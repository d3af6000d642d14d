"""A machine without a GPU: models that ask for one say so, and never run on something slower.

On one transport: devices are the same on each.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tritonclient.grpc as triton

from tests.harness.artifacts import write_pooling_graph
from tests.harness.command import trivet
from tests.harness.fake_tensorrt import write_plan
from tests.harness.server import serving
from trivet.backend.gpus import visible_gpus

pytestmark = pytest.mark.skipif(bool(visible_gpus()), reason="there is a GPU")

FASTER = "optimization { execution_accelerators { %s_execution_accelerator { name: '%s' } } }"
CONFIGS = {
    "auto": 'backend: "onnxruntime" instance_group { kind: KIND_AUTO }',
    "by_choice": f'backend: "onnxruntime" instance_group {{ kind: KIND_CPU }} {FASTER}'
    % ("gpu", "tensorrt"),
    "on_gpu": 'backend: "onnxruntime" instance_group { kind: KIND_GPU gpus: 0 }',
    "faster": f'backend: "onnxruntime" {FASTER}' % ("gpu", "tensorrt"),
    "unknown": f'backend: "onnxruntime" {FASTER}' % ("cpu", "magic"),
    "plan": 'backend: "tensorrt" max_batch_size: 8',
    "misplaced": 'backend: "onnxruntime" instance_group { profile: "0" }',
}
REASONS = {
    "on_gpu": "on_gpu/config.pbtxt: instance_group[0].kind: ",
    "faster": "optimization.execution_accelerators.gpu_execution_accelerator: ",
    "unknown": "cpu_execution_accelerator[0].name: ONNX Runtime knows no 'magic' there",
    "plan": "backend 'tensorrt' lacks the package",
    "misplaced": "instance_group[0].profile: backend 'onnxruntime' has no optimization profiles",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in CONFIGS.items():
        version = tmp_path / "models" / name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(text)
        if name == "plan":
            write_plan(version)
        else:
            write_pooling_graph(version / "model.onnx")
    return tmp_path / "models"


def test_the_index_says_why_and_the_others_serve(repository: Path, tmp_path: Path) -> None:
    with (
        serving(repository, "--exit-on-error=false", log=tmp_path / "log") as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        index = {model.name: model for model in client.get_model_repository_index().models}
        states = {name: model.state for name, model in index.items()}
        assert {name for name, state in states.items() if state == "READY"} == {"auto", "by_choice"}
        for name, reason in REASONS.items():
            assert reason in index[name].reason, name
        config = client.get_model_config("by_choice", as_json=True)["config"]
        told = config["optimization"]["execution_accelerators"]
        assert told == {"gpu_execution_accelerator": [{"name": "tensorrt"}]}


def test_check_says_the_same(repository: Path) -> None:
    quick, thorough = trivet("check", str(repository)), trivet("check", str(repository), "--load")
    assert quick.status == thorough.status == 1
    for name, reason in REASONS.items():
        assert reason in thorough.out, name
        if name in ("on_gpu", "misplaced"):  # the rest is found when the model is opened
            assert reason in quick.out, name
