"""Which of the engine's execution providers run a model, and with what options: pure.

Names, parameters and order are those of Triton's backend: what `execution_accelerators` names, in
its order, then CUDA on a GPU; the CPU takes what none of them can. Whatever is asked for runs or is
refused; it is never left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trivet.backend.contract import Gpus
from trivet.config import Accelerator, InstanceKind, ModelConfig
from trivet.errors import Fault
from trivet_backends.onnxruntime.tensorrt_options import tensorrt_options

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
TENSORRT_RTX = "NvTensorRTRTXExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

_ON_GPU = {"tensorrt": TENSORRT, "cuda": CUDA, "nv_tensorrt_rtx": TENSORRT_RTX}
_ON_CPU = {"openvino": OPENVINO}
_GPU_CURE = "pip install 'trivet[gpu]' in place of 'trivet[onnxruntime]'"
_CURES = {
    CUDA: _GPU_CURE,
    TENSORRT: f"{_GPU_CURE}, and TensorRT",
    TENSORRT_RTX: "install an ONNX Runtime that has it",
    OPENVINO: "install onnxruntime-openvino in place of onnxruntime, or write backend: "
    '"openvino" alone',
}
_OR_THE_CPU = ", or write KIND_CPU"


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider as a session is given it."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


def usable_gpus(available: Collection[str], numbers: tuple[int, ...]) -> Gpus:
    """The GPUs this engine can use. available: its providers; numbers: of the GPUs there are."""
    if not {CUDA, TENSORRT_RTX} & set(available):
        what = "the ONNX Runtime that is installed computes on the CPU alone"
        return Gpus(lacking=what, cure=_GPU_CURE + _OR_THE_CPU)
    if not numbers:
        what = "no NVIDIA GPU is to be seen here, or its driver is missing"
        return Gpus(lacking=what, cure=f"see that nvidia-smi shows one{_OR_THE_CPU}")
    return Gpus(numbers=numbers)


def providers(
    config: ModelConfig,
    gpu: int | None,
    available: Collection[str],
    cuda_options: Mapping[str, str],
    faults: list[Fault],
) -> list[Provider]:
    """Those that a session on a GPU (by number) or on the CPU (None) gets before the CPU's own.

    available: the engine's. cuda_options: what the config's parameters say of CUDA.
    What is unknown, absent or wrong is added to `faults`.
    """
    known, asked = (_ON_CPU, config.cpu_accelerators)
    place = _place(config, "cpu")
    if gpu is not None:
        known, asked, place = _ON_GPU, config.gpu_accelerators, _place(config, "gpu")
    found = dict(_asked_for(asked, known, available, gpu, place, faults))
    if gpu is not None and (CUDA in available or TENSORRT_RTX not in found):
        if CUDA not in available:
            at = f"{config.name}/config.pbtxt: instance_group"
            faults.append(_absent(CUDA, at))
        options = {"device_id": str(gpu), **cuda_options, **found.pop(CUDA, {})}
        found[CUDA] = options  # last: what the others cannot run
    return [Provider(name, options) for name, options in found.items()]


def forgotten_gpu(config: ModelConfig, gpus: Gpus) -> list[Fault]:
    """The fault of a model that asks for accelerators on a GPU, and would run on the CPU for want
    of one. A group of KIND_CPU says itself that it wants none.
    """
    groups = config.instance_groups
    on_cpu_by_choice = groups and all(group.kind is not InstanceKind.AUTO for group in groups)
    if not config.gpu_accelerators or on_cpu_by_choice:
        return []
    return [Fault(_place(config, "gpu"), gpus.lacking, gpus.cure)]


def left_out(asked: Sequence[Provider], running: Collection[str], where: str) -> list[Fault]:
    """A fault for each provider that the engine quietly went on without. running: a session's."""
    return [
        Fault(
            where,
            f"ONNX Runtime could not start its {provider.name} and would use a slower one",
            "install the libraries that its own log line names, or write KIND_CPU",
        )
        for provider in asked
        if provider.name not in running
    ]


def _asked_for(
    asked: Sequence[Accelerator],
    known: Mapping[str, str],
    available: Collection[str],
    gpu: int | None,
    place: str,
    faults: list[Fault],
) -> Iterator[tuple[str, dict[str, str]]]:
    for index, accelerator in enumerate(asked):
        at = f"{place}[{index}]"
        name = known.get(accelerator.name)
        if name is None:
            what = f"ONNX Runtime knows no '{accelerator.name}' there"
            faults.append(Fault(f"{at}.name", what, f"use one of {', '.join(known)}"))
        elif name not in available:
            faults.append(_absent(name, f"{at}.name"))
        else:
            yield name, _options(name, accelerator, gpu, at, faults)


def _options(
    name: str, accelerator: Accelerator, gpu: int | None, at: str, faults: list[Fault]
) -> dict[str, str]:
    device = {"device_type": "CPU"} if gpu is None else {"device_id": str(gpu)}
    if name == TENSORRT:
        return {**tensorrt_options(accelerator.parameters, f"{at}.parameters", faults), **device}
    return {**accelerator.parameters, **device}


def _absent(provider: str, at: str) -> Fault:
    return Fault(at, f"the ONNX Runtime that is installed has no {provider}", _CURES[provider])


def _place(config: ModelConfig, kind: str) -> str:
    where = f"{config.name}/config.pbtxt: optimization.execution_accelerators"
    return f"{where}.{kind}_execution_accelerator"
