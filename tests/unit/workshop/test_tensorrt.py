"""Builds for TensorRT, on a fake of it whose engines run on ONNX Runtime."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.harness.artifacts import write_graph as write_onnx
from tests.harness.fake_tensorrt import fake_api
from tests.unit.workshop.checkpoints import MASK_ID, TINY, Recipe, random_weights
from trivet.cli import main as trivet
from trivet.config import InstanceKind
from trivet.config_file import Faults, read_config
from trivet.errors import InvalidConfig
from trivet_backends.tensorrt.api import Api, NotThere
from trivet_backends.workshop.check_batch import check_batch
from trivet_backends.workshop.config_text import MAX_BATCH_SIZE, is_untouched
from trivet_backends.workshop.configs import encoder_config
from trivet_backends.workshop.options import Format, GraphOptions, Precision, Task
from trivet_backends.workshop.parity import check_parity
from trivet_backends.workshop.precision import write_graph
from trivet_backends.workshop.tensorrt import Machine, buckets, require, write_plan

TASKS = [
    GraphOptions(task=Task.EMBED, hidden_state=True),
    GraphOptions(task=Task.FILL_MASK, candidates=20),
]
FAKE = Machine(find=fake_api, see=lambda: (0,))


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that seems to have it."""
    from trivet_backends.workshop import tensorrt

    for function in (tensorrt.write_plan, tensorrt.run_plan, tensorrt.require):
        monkeypatch.setattr(function, "__defaults__", (FAKE,))


def test_buckets_lie_side_by_side_up_to_the_models_positions() -> None:
    assert buckets(512) == [(1, 32), (33, 128), (129, 512)]
    assert buckets(128) == [(1, 32), (33, 128)]
    assert buckets(16) == [(1, 16)]


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize("options", TASKS, ids=lambda options: options.task)
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_a_plan_has_the_graph_its_profiles_and_its_parity(
    tmp_path: Path, fill_mask_checkpoint: Path, options: GraphOptions, precision: Precision
) -> None:
    weights, path = random_weights(Recipe(config=TINY)), tmp_path / "model.plan"
    write_graph(TINY, weights, options, precision, path)
    mask_id = MASK_ID if options.task is Task.FILL_MASK else None
    batch = check_batch(fill_mask_checkpoint / "tokenizer.json", TINY, mask_id)
    parity = check_parity(path, TINY, weights, options, precision, batch)
    assert parity.mean_cosine > 0.999
    assert [child.name for child in tmp_path.iterdir()] == ["model.plan"]
    told = json.loads(path.read_text())
    names = set(told["profiles"][0])
    assert {"input_ids", "attention_mask", "token_type_ids"} <= names
    assert ("mask_positions" in names) == (options.task is Task.FILL_MASK)
    assert not any("target" in name for name in told["tensors"])
    ends = buckets(TINY.max_positions)
    assert [profile["input_ids"] for profile in told["profiles"]] == [
        [[1, least], [MAX_BATCH_SIZE, max(least, most // 2)], [MAX_BATCH_SIZE, most]]
        for least, most in ends
    ]


def test_the_config_puts_an_instance_on_each_gpu_with_every_profile() -> None:
    text = encoder_config("e", TINY, TASKS[0], Precision.FP16, Format.TENSORRT)
    assert is_untouched(text)
    faults = Faults()
    config = read_config(text, "e/config.pbtxt", "e", faults)
    assert config is not None, list(faults)
    (group,) = config.instance_groups
    assert (group.kind, group.gpus) == (InstanceKind.GPU, ())
    assert group.profiles == tuple(range(len(buckets(TINY.max_positions))))
    assert config.backend == "tensorrt"


def test_a_graph_that_tensorrt_does_not_know_is_refused_with_its_reason(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    path = write_onnx(
        tmp_path / "model.onnx",
        [helper.make_node("NonZero", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [2, "n"])],
    )
    with pytest.raises(InvalidConfig, match="cannot read the graph: NonZero is not supported"):
        write_plan(onnx.load(path), 32, tmp_path / "model.plan", FAKE)


def absent() -> Api:
    raise NotThere("backend 'tensorrt' lacks the package tensorrt")


def test_nothing_is_built_without_a_gpu_or_the_packages() -> None:
    require(FAKE)
    with pytest.raises(InvalidConfig, match=r"lacks the package tensorrt; pip install 'trivet"):
        require(Machine(find=absent, see=lambda: (0,)))
    with pytest.raises(InvalidConfig, match="no NVIDIA GPU is to be seen here"):
        require(Machine(find=fake_api, see=lambda: ()))


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_the_command_says_what_is_missing(
    embed_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "models"
    told = ["build", str(embed_checkpoint), "--model-repository", str(repository)]
    assert trivet([*told, "--to", "tensorrt"]) != 0
    assert "lacks the package tensorrt" in capsys.readouterr().err
    assert not repository.exists()


@pytest.mark.usefixtures("tensorrt")
def test_int8_is_refused_and_fp16_is_published(
    embed_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "models"
    told = ["build", str(embed_checkpoint), "--model-repository", str(repository), "--name", "e"]
    assert trivet([*told, "--to", "tensorrt", "--precision", "int8"]) != 0
    assert "TensorRT is built in fp32 or fp16" in capsys.readouterr().err
    assert trivet([*told, "--to", "tensorrt", "--precision", "fp16"]) == 0
    assert (repository / "e" / "1" / "model.plan").is_file()
