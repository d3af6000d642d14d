"""The TensorRT backend on a fake of TensorRT and CUDA: profiles, shapes, buffers, errors.

It was run on no GPU; what the fake cannot show is named in the README's table.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import fake_tensorrt
from tests.harness.artifacts import EMBEDDINGS
from tests.harness.fake_tensorrt import FakeCuda, cudaError_t, pooling_plan, write_plan
from trivet.backend.contract import Batch, Gpus, LoadContext, Rows
from trivet.backend.placement import placed
from trivet.config import InstanceGroup, InstanceKind, ModelConfig, TensorSpec
from trivet.errors import EngineFailed, InstanceDied, InvalidConfig, InvalidInput
from trivet_backends.tensorrt import TensorRtBackend
from trivet_backends.tensorrt.api import Api, NotThere
from trivet_backends.tensorrt.backend import TensorRtArtifact
from trivet_backends.tensorrt.profiles import Profile, Range, choose

OUTPUTS = (
    TensorSpec(name="hidden", datatype="FP32", dims=(-1, 4), symbols=("input_ids.1", "")),
    TensorSpec(name="embedding", datatype="FP32", dims=(4,), symbols=("",)),
)
INPUTS = tuple(
    TensorSpec(name=name, datatype="INT64", dims=(-1,), symbols=("input_ids.1",))
    for name in ("input_ids", "attention_mask")
)


def config(*profiles: int, rows: int = 16, outputs: Any = OUTPUTS) -> ModelConfig:
    group = InstanceGroup(kind=InstanceKind.GPU, gpus=(0,), profiles=profiles)
    return ModelConfig(
        name="m",
        backend="tensorrt",
        max_batch_size=rows,
        inputs=INPUTS,
        outputs=outputs,
        instance_groups=(group,),
    )


def open_plan(
    folder: Path, model: ModelConfig | None = None, cuda: FakeCuda | None = None, gpu: int = 0
) -> TensorRtArtifact:
    backend = TensorRtBackend(lambda: fake_tensorrt.fake_api(cuda), lambda: (0, 1))
    context = LoadContext(version=1, path=folder, where="m/1", threads=1, gpu=gpu)
    return backend.open(model or config(), context)


def request(length: int, rows: int = 1) -> Rows:
    ids = np.arange(rows * length).reshape(rows, length) % 50
    return Rows({"input_ids": ids, "attention_mask": np.ones_like(ids)})


def execute(instance: Any, *requests: Rows) -> Any:
    return instance.execute(Batch(requests, time.monotonic_ns))


def fault_of(folder: Path, plan: dict[str, Any], model: ModelConfig | None = None) -> str:
    write_plan(folder, plan)
    with pytest.raises(InvalidConfig) as refused:
        open_plan(folder, model)
    return str(refused.value.faults[0])


def test_answers_come_back_through_pinned_buffers_in_the_stream_of_the_instance(
    tmp_path: Path,
) -> None:
    write_plan(tmp_path)
    cuda = FakeCuda()
    artifact = open_plan(tmp_path, cuda=cuda, gpu=1)
    instance = artifact.instance(config())
    for length, rows in ((3, 2), (30, 16), (1, 1)):  # grows, and is used again
        asked = request(length, rows)
        (answer,) = execute(instance, asked)
        hidden = EMBEDDINGS[asked.inputs["input_ids"]]
        np.testing.assert_array_equal(answer.outputs["hidden"], hidden)
        np.testing.assert_allclose(answer.outputs["embedding"], hidden.mean(1), rtol=1e-5)
    assert set(cuda.devices) == {1}
    assert len(cuda.streams) == 1
    instance.close()
    instance.close()
    artifact.close()
    artifact.close()
    assert (cuda.memory, cuda.streams) == ({}, {})
    with pytest.raises(EngineFailed, match="closed"):
        execute(instance, request(3))


def test_an_answer_stays_as_it_was_when_the_next_batch_runs(tmp_path: Path) -> None:
    write_plan(tmp_path)
    instance = open_plan(tmp_path).instance(config())
    (first,) = execute(instance, request(3))
    before = {name: array.copy() for name, array in first.outputs.items()}
    execute(instance, Rows({name: array + 1 for name, array in request(3).inputs.items()}))
    for name, array in before.items():
        np.testing.assert_array_equal(first.outputs[name], array)


def test_the_engines_shapes_get_symbols_that_agree(tmp_path: Path) -> None:
    write_plan(tmp_path, pooling_plan((1, 4, 8), (9, 16, 32)))
    told = open_plan(tmp_path).signature
    both = ("batch", "input_ids.1")
    assert [(spec.name, spec.dims, spec.symbols) for spec in (*told.inputs, *told.outputs)] == [
        ("input_ids", (-1, -1), both),
        ("attention_mask", (-1, -1), both),
        ("hidden", (-1, -1, 4), (*both, "")),
        ("embedding", (-1, 4), ("batch", "")),
    ]


def test_the_profile_is_chosen_by_the_shape_of_each_batch(tmp_path: Path) -> None:
    write_plan(tmp_path, pooling_plan((1, 4, 8), (1, 16, 32), (16, 64, 128)))
    artifact = open_plan(tmp_path, config(0, 1, 2))
    instance = artifact.instance(config(0, 1, 2))
    assert artifact._engine is not None
    contexts = artifact._engine.handle.contexts
    made = len(contexts)
    for length in (3, 20, 100, 6):
        execute(instance, request(length, 16))
    used = contexts[made:]
    assert [(context.profile, context.runs) for context in used] == [(0, 2), (1, 1), (2, 1)]


def test_without_a_profile_named_the_first_one_serves(tmp_path: Path) -> None:
    write_plan(tmp_path, pooling_plan((1, 4, 8), (1, 16, 32)))
    instance = open_plan(tmp_path).instance(config())
    execute(instance, request(8))
    with pytest.raises(InvalidInput, match=r"takes no shape 1x9, but 1\.\.16x1\.\.8"):
        execute(instance, request(9))


def profile(index: int, least: int, best: int, most: int) -> Profile:
    return Profile(index, {"x": Range((1, least), (8, best), (8, most))})


@pytest.mark.parametrize(
    ("shape", "expected"), [((8, 4), 0), ((8, 9), 1), ((8, 12), 1), ((8, 40), 2), ((1, 8), 0)]
)
def test_of_those_that_take_a_shape_the_nearest_is_chosen(
    shape: tuple[int, int], expected: int
) -> None:
    profiles = [profile(0, 1, 4, 8), profile(1, 1, 12, 16), profile(2, 1, 32, 64)]
    assert choose(profiles, {"x": shape}).index == expected


def test_a_shape_that_no_profile_takes_is_the_callers_fault() -> None:
    with pytest.raises(InvalidInput, match=r"takes no shape 9x4, but 1\.\.8x1\.\.8"):
        choose([profile(0, 1, 4, 8)], {"x": (9, 4)})
    with pytest.raises(InvalidInput, match="takes no shape 4"):
        choose([profile(0, 1, 4, 8)], {"x": (4,)})


def test_inputs_that_are_missing_or_of_another_type_are_the_callers_fault(tmp_path: Path) -> None:
    write_plan(tmp_path)
    instance = open_plan(tmp_path).instance(config())
    ids = request(3).inputs["input_ids"]
    with pytest.raises(InvalidInput, match="send attention_mask too"):
        execute(instance, Rows({"input_ids": ids}))
    with pytest.raises(InvalidInput, match="input 'input_ids' is int32"):
        execute(instance, Rows({"input_ids": ids.astype(np.int32), "attention_mask": ids}))


def test_a_plan_of_another_version_is_refused_with_tensorrts_own_reason(tmp_path: Path) -> None:
    fault = fault_of(tmp_path, pooling_plan(version="9.1"))
    assert fault == (
        "m/1/model.plan: TensorRT 10.13.0 cannot load it: The engine plan file expects library "
        "version 9.1; build it on this machine, with this version of TensorRT, for this kind of GPU"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dtype": "FP8"}, "its type FP8 cannot be served"),
        ({"location": "HOST"}, "it is a shape tensor"),
        ({"is_shape": True}, "it is a shape tensor"),
        ({"format": "CHW4"}, "its memory is not linear"),
    ],
)
def test_tensors_that_cannot_be_served_are_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    fault = fault_of(tmp_path, pooling_plan(hidden=change))
    assert fault.startswith(f"m/1/model.plan: tensor 'hidden': {told}")


def test_profiles_that_do_not_fit_the_config_are_refused(tmp_path: Path) -> None:
    plan = pooling_plan((1, 4, 8), (1, 16, 32), rows=8)
    assert fault_of(tmp_path, plan, config(2, rows=8)) == (
        "m/config.pbtxt: instance_group[0].profile: the engine has no profile 2; name some of 0, 1"
    )
    assert "its profiles take 8 rows, and max_batch_size is 16" in fault_of(tmp_path, plan)


def test_a_run_that_fails_tells_tensorrts_reason(tmp_path: Path) -> None:
    write_plan(tmp_path, pooling_plan(program="fails"))
    instance = open_plan(tmp_path).instance(config())
    with pytest.raises(EngineFailed, match="the engine did not run: a tactic failed") as failed:
        execute(instance, request(3))
    assert not isinstance(failed.value, InstanceDied)


@pytest.mark.parametrize("function", ["cudaMemcpyAsync", "cudaStreamSynchronize", "cudaMalloc"])
def test_an_instance_whose_gpu_failed_is_dead(tmp_path: Path, function: str) -> None:
    write_plan(tmp_path)
    cuda = FakeCuda()
    instance = open_plan(tmp_path, cuda=cuda).instance(config())
    cuda.fails[function] = cudaError_t.cudaErrorIllegalAddress
    with pytest.raises(InstanceDied, match="CUDA says: cudaErrorIllegalAddress"):
        execute(instance, request(3))


def test_an_instance_that_finds_no_memory_lives_on(tmp_path: Path) -> None:
    write_plan(tmp_path)
    cuda = FakeCuda()
    instance = open_plan(tmp_path, cuda=cuda).instance(config())
    cuda.fails["cudaMalloc"] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(EngineFailed, match="cudaErrorMemoryAllocation") as failed:
        execute(instance, request(3))
    assert not isinstance(failed.value, InstanceDied)
    del cuda.fails["cudaMalloc"]
    assert execute(instance, request(3))
    instance.close()
    assert cuda.memory == {}


def absent() -> Api:
    raise NotThere("backend 'tensorrt' lacks the package tensorrt")


def test_without_a_gpu_or_the_packages_it_is_refused_and_never_run_elsewhere(
    tmp_path: Path,
) -> None:
    write_plan(tmp_path)
    auto = ModelConfig(name="m", backend="tensorrt", instance_groups=(InstanceGroup(),))
    context = LoadContext(version=1, path=tmp_path, where="m/1", threads=1)
    for backend, told in (
        (TensorRtBackend(absent, lambda: (0,)), "lacks the package tensorrt; pip install"),
        (TensorRtBackend(fake_tensorrt.fake_api, lambda: ()), "no NVIDIA GPU is to be seen here"),
    ):
        with pytest.raises(InvalidConfig, match=told):
            backend.open(placed(auto, backend), context)
        with pytest.raises(InvalidConfig, match=told):
            placed(config(), backend)
    there = TensorRtBackend(fake_tensorrt.fake_api, lambda: (0,))
    assert there.gpus(auto) == Gpus(numbers=(0,))
    with pytest.raises(InvalidConfig, match="computes on GPUs alone; write KIND_GPU"):
        there.open(auto, context)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_the_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    backend, model = TensorRtBackend(), ModelConfig(name="m", backend="tensorrt")
    context = LoadContext(version=1, path=tmp_path, where="m/1", threads=1)
    with pytest.raises(InvalidConfig, match=r"package tensorrt; pip install 'trivet\[tensorrt\]'"):
        backend.open(placed(model, backend), context)
