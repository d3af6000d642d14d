"""On which device each instance of a model runs; pure. Backends that compute on GPUs say which.

The meaning is Triton's: `count` instances on each GPU of a group, every GPU where it names none;
KIND_AUTO is a GPU where there is one that the backend can use, else the CPU. KIND_GPU never becomes
the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trivet.backend.contract import Backend, GpuBackend, Gpus, LoadContext
from trivet.config import InstanceGroup, InstanceKind, ModelConfig
from trivet.errors import Fault, InvalidConfig

ACCELERATORS = "optimization.execution_accelerators"
PROFILE = "instance_group.profile"


def asks_for_devices(config: ModelConfig) -> bool:
    """Whether the config says more of devices than that they are to be there or not."""
    groups = config.instance_groups
    wants_gpu = any(group.kind is InstanceKind.GPU or group.profiles for group in groups)
    return bool(wants_gpu or config.gpu_accelerators or config.cpu_accelerators)


def placed(config: ModelConfig, backend: Backend) -> ModelConfig:
    """The config with the GPUs of every group written out; CPU groups as they were.

    Raises InvalidConfig: GPUs asked for that there are not, or that this backend cannot use; a
    field that is for other backends.
    """
    faults = list(_misplaced_fields(config, backend))
    gpus = _gpus(config, backend)
    groups = []
    for index, group in enumerate(config.instance_groups or _default(gpus)):
        where = f"{config.name}/config.pbtxt: instance_group[{index}]"
        faults += _faults(group, gpus, where)
        groups.append(_on_gpus(group, gpus))
    if faults:
        raise InvalidConfig(faults)
    return replace(config, instance_groups=tuple(groups))


def contexts(config: ModelConfig, context: LoadContext) -> dict[int | None, LoadContext]:
    """What an artifact is opened with, once for each device. config: placed."""
    devices = {device: None for group in config.instance_groups for device in group.devices}
    return {device: replace(context, gpu=device) for device in devices or {None: None}}


def posts(config: ModelConfig) -> Iterator[tuple[int | None, InstanceGroup]]:
    """For each instance, in order, its device and its group. config: placed."""
    for group in config.instance_groups:
        for device in group.devices:
            for _ in range(group.count):
                yield device, group


def _gpus(config: ModelConfig, backend: Backend) -> Gpus:
    if isinstance(backend, GpuBackend):
        return backend.gpus(config)
    what = f"backend '{config.backend}' computes on no GPU"
    return Gpus(lacking=what, cure="write KIND_CPU or KIND_AUTO")


def _default(gpus: Gpus) -> tuple[InstanceGroup, ...]:
    return (InstanceGroup(),) if gpus.numbers else ()


def _on_gpus(group: InstanceGroup, gpus: Gpus) -> InstanceGroup:
    if group.kind is InstanceKind.CPU or not gpus.numbers:
        return group
    return replace(group, kind=InstanceKind.GPU, gpus=group.gpus or gpus.numbers)


def _faults(group: InstanceGroup, gpus: Gpus, where: str) -> Iterator[Fault]:
    if group.kind is not InstanceKind.GPU:
        return
    if not gpus.numbers:
        yield Fault(f"{where}.kind", gpus.lacking, gpus.cure)
    elif absent := sorted(set(group.gpus) - set(gpus.numbers)):
        known = ", ".join(map(str, gpus.numbers))
        yield Fault(f"{where}.gpus", f"there is no GPU {absent[0]} here", f"name some of {known}")


def _misplaced_fields(config: ModelConfig, backend: Backend) -> Iterator[Fault]:
    served = backend.fields if isinstance(backend, GpuBackend) else ()
    where = f"{config.name}/config.pbtxt"
    if (config.gpu_accelerators or config.cpu_accelerators) and ACCELERATORS not in served:
        what = f"backend '{config.backend}' hands nothing to accelerators"
        yield Fault(f"{where}: {ACCELERATORS}", what, "remove it")
    for index, group in enumerate(config.instance_groups):
        if group.profiles and PROFILE not in served:
            what = f"backend '{config.backend}' has no optimization profiles"
            yield Fault(f"{where}: instance_group[{index}].profile", what, "remove it")
