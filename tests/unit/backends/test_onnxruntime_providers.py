"""Which execution providers run a model on ONNX Runtime, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from tests.harness.artifacts import write_pooling_graph
from trivet.backend.contract import Gpus, LoadContext
from trivet.backend.placement import placed
from trivet.config import Accelerator, InstanceGroup, InstanceKind, ModelConfig
from trivet.errors import Fault, InvalidConfig
from trivet_backends.onnxruntime import OnnxRuntimeBackend
from trivet_backends.onnxruntime.options import Options
from trivet_backends.onnxruntime.providers import (
    CUDA,
    OPENVINO,
    TENSORRT,
    TENSORRT_RTX,
    Provider,
    left_out,
    providers,
    usable_gpus,
)

ALL = (TENSORRT, TENSORRT_RTX, CUDA, OPENVINO, "CPUExecutionProvider")
AT = "m/config.pbtxt: optimization.execution_accelerators"
CUDA_IS_THERE = CUDA in onnxruntime.get_available_providers()


def accelerator(name: str, **parameters: str) -> Accelerator:
    return Accelerator(name=name, parameters=parameters)


def config(*accelerators: Accelerator, **more: Any) -> ModelConfig:
    return ModelConfig(
        name="m", backend="onnxruntime", gpu_accelerators=tuple(accelerators), **more
    )


def chosen(
    model: ModelConfig,
    gpu: int | None,
    available: Sequence[str] = ALL,
    cuda: Mapping[str, str] | None = None,
) -> list[tuple[str, Mapping[str, str]]]:
    faults: list[Fault] = []
    found = providers(model, gpu, available, cuda or {}, faults)
    assert faults == []
    return [(provider.name, provider.options) for provider in found]


def refused(model: ModelConfig, gpu: int | None, available: Sequence[str] = ALL) -> list[str]:
    faults: list[Fault] = []
    providers(model, gpu, available, {}, faults)
    return list(map(str, faults))


def test_a_gpu_is_cudas_with_what_the_parameters_say() -> None:
    parameters = {
        "cudnn_conv_algo_search": "1",
        "gpu_mem_limit": "4294967200",
        "arena_extend_strategy": "1",
        "do_copy_in_default_stream": "true",
    }
    cuda = Options.read(config(parameters=parameters)).cuda
    assert chosen(config(), 1, cuda=cuda) == [
        (
            CUDA,
            {
                "device_id": "1",
                "cudnn_conv_algo_search": "HEURISTIC",
                "gpu_mem_limit": "4294967200",
                "arena_extend_strategy": "kSameAsRequested",
                "do_copy_in_default_stream": "1",
            },
        )
    ]
    assert Options.read(config()).cuda == {}


def test_tensorrt_comes_before_cuda_whatever_order_they_are_written_in() -> None:
    tensorrt = accelerator("tensorrt", precision_mode="FP16", max_workspace_size_bytes="64")
    cuda = accelerator("cuda", cudnn_conv_use_max_workspace="0")
    expected = [
        (TENSORRT, {"trt_fp16_enable": "True", "trt_max_workspace_size": "64", "device_id": "0"}),
        (CUDA, {"device_id": "0", "cudnn_conv_use_max_workspace": "0"}),
    ]
    assert chosen(config(tensorrt, cuda), 0) == expected
    assert chosen(config(cuda, tensorrt), 0) == expected


def test_every_kind_of_tensorrts_parameters_is_translated() -> None:
    tensorrt = accelerator(
        "tensorrt",
        precision_mode="FP32",
        trt_engine_cache_enable="1",
        trt_cuda_graph_enable="false",
        int8_use_native_calibration_table="0",
        trt_auxiliary_streams="-1",
        trt_profile_min_shapes="input_ids:1x1",
    )
    (_, options), _ = chosen(config(tensorrt), 0)
    assert options == {
        "trt_engine_cache_enable": "True",
        "trt_cuda_graph_enable": "False",
        "trt_int8_use_native_calibration_table": "False",
        "trt_auxiliary_streams": "-1",
        "trt_profile_min_shapes": "input_ids:1x1",
        "device_id": "0",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("precision_mode", "FP8"), ("trt_dla_core", "one"), ("trt_dla_enable", "2"), ("trt_x", "1")],
)
def test_parameters_of_tensorrt_that_are_none_are_refused(name: str, value: str) -> None:
    (fault,) = refused(config(accelerator("tensorrt", **{name: value})), 0)
    assert fault.startswith(f'{AT}.gpu_execution_accelerator[0].parameters["{name}"]: ')


def test_accelerators_of_the_other_device_do_not_count() -> None:
    on_cpu = config(accelerator("tensorrt"), cpu_accelerators=(accelerator("openvino"),))
    assert chosen(on_cpu, None) == [(OPENVINO, {"device_type": "CPU"})]
    assert [name for name, _ in chosen(on_cpu, 0)] == [TENSORRT, CUDA]


def test_tensorrt_rtx_needs_no_cuda_beside_it() -> None:
    rtx = config(accelerator("nv_tensorrt_rtx"))
    assert [name for name, _ in chosen(rtx, 0, (TENSORRT_RTX,))] == [TENSORRT_RTX]
    assert [name for name, _ in chosen(rtx, 0)] == [TENSORRT_RTX, CUDA]


def test_what_is_unknown_or_absent_is_refused_with_a_cure() -> None:
    place = f"{AT}.gpu_execution_accelerator"
    unknown, absent = refused(config(accelerator("magic"), accelerator("tensorrt")), 0, (CUDA,))
    assert unknown.startswith(f"{place}[0].name: ONNX Runtime knows no 'magic' there; use one of")
    assert absent.startswith(f"{place}[1].name: the ONNX Runtime that is installed has no {TENSOR}")
    assert "pip install 'trivet[gpu]'" in absent
    (no_cuda,) = refused(config(), 0, ("CPUExecutionProvider",))
    assert CUDA in no_cuda


TENSOR = "Tensorrt"


def test_gpus_are_those_that_both_the_engine_and_the_machine_have() -> None:
    assert usable_gpus(ALL, (0, 1)).numbers == (0, 1)
    alone = usable_gpus(("CPUExecutionProvider",), (0,))
    assert (alone.numbers, "CPU alone" in alone.lacking) == ((), True)
    none = usable_gpus(ALL, ())
    assert (none.numbers, "no NVIDIA GPU" in none.lacking) == ((), True)


def test_a_provider_that_the_engine_left_out_is_a_fault() -> None:
    asked = [Provider(TENSORRT), Provider(CUDA)]
    assert left_out(asked, [TENSORRT, CUDA, "CPUExecutionProvider"], "m/1") == []
    (fault,) = left_out(asked, [CUDA, "CPUExecutionProvider"], "m/1")
    assert str(fault).startswith(f"m/1: ONNX Runtime could not start its {TENSORRT}")


class Machine:
    """An engine that says it has everything, on a machine with a GPU, and starts nothing of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        self._open = onnxruntime.InferenceSession
        sessions = "trivet_backends.onnxruntime.sessions"
        patch.setattr(f"{sessions}.visible_gpus", lambda: (0,))
        patch.setattr(onnxruntime, "get_available_providers", lambda: list(ALL))
        patch.setattr(onnxruntime, "InferenceSession", self.open)

    def open(self, path: Path, options: Any, providers: list[Any], **more: Any) -> Any:
        self.asked.append((providers, more))
        return self._open(path, options, providers[-1:], **more)


def open_model(folder: Path, model: ModelConfig, gpu: int | None) -> list[str]:
    """The faults."""
    write_pooling_graph(folder / "model.onnx")
    context = LoadContext(version=1, path=folder, where="m/1", threads=1, gpu=gpu)
    with pytest.raises(InvalidConfig) as told:
        OnnxRuntimeBackend().open(model, context)
    return list(map(str, told.value.faults))


def test_an_engine_that_falls_back_silently_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch)
    assert OnnxRuntimeBackend().gpus(config()) == Gpus(numbers=(0,))
    (fault,) = open_model(tmp_path, config(), 0)
    assert fault.startswith(f"m/1/model.onnx: ONNX Runtime could not start its {CUDA}")
    ((asked, more),) = machine.asked
    assert asked == [(CUDA, {"device_id": "0"}), "CPUExecutionProvider"]
    assert more == {"enable_fallback": False}
    openvino = ModelConfig(name="m", cpu_accelerators=(accelerator("openvino"),))
    (fault,) = open_model(tmp_path, openvino, None)
    assert OPENVINO in fault


@pytest.mark.skipif(CUDA_IS_THERE, reason="this ONNX Runtime has CUDA")
def test_the_engine_of_the_cpu_refuses_what_it_has_not(tmp_path: Path) -> None:
    gpu = config(instance_groups=(InstanceGroup(kind=InstanceKind.GPU),))
    with pytest.raises(InvalidConfig, match=r"computes on the CPU alone; .*write KIND_CPU"):
        placed(gpu, OnnxRuntimeBackend())
    openvino = ModelConfig(name="m", cpu_accelerators=(accelerator("openvino"),))
    (fault,) = open_model(tmp_path, openvino, None)
    assert fault.startswith(f"{AT}.cpu_execution_accelerator[0].name: ")


@pytest.mark.skipif(CUDA_IS_THERE, reason="this ONNX Runtime has CUDA")
def test_accelerators_on_a_gpu_that_is_not_there_are_forgotten_only_by_choice(
    tmp_path: Path,
) -> None:
    for groups in ((), (InstanceGroup(),)):
        model = config(accelerator("tensorrt"), instance_groups=groups)
        (fault,) = open_model(tmp_path, model, None)
        assert fault.startswith(f"{AT}.gpu_execution_accelerator: ")
    on_cpu = (InstanceGroup(kind=InstanceKind.CPU),)
    context = LoadContext(version=1, path=tmp_path, where="m/1", threads=1)
    model = config(accelerator("tensorrt"), instance_groups=on_cpu)
    OnnxRuntimeBackend().open(model, context).close()
