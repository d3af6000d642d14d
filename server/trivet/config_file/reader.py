"""config.pbtxt to a `ModelConfig`: what is read, with every fault named by file and field."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from trivet.config import (
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    Platform,
    Step,
    TensorSpec,
    VersionPolicy,
)
from trivet.config_file import text as text_format
from trivet.config_file.backends import BACKEND_BY_PLATFORM
from trivet.config_file.batching import batch_policy, check_padding
from trivet.config_file.datatypes import wire_name
from trivet.config_file.decoupled import is_decoupled
from trivet.config_file.ensemble import pipeline_steps
from trivet.config_file.faults import Faults
from trivet.config_file.labelling import check_label_task
from trivet.config_file.optimization import accelerators, graph_level, profiles
from trivet.config_file.placement import cpu_affinity
from trivet.config_file.queueing import max_inflight_requests, priorities, queue_policy
from trivet.config_file.ragged import batch_inputs, batch_outputs, check_ragged
from trivet.config_file.rate_limiter import resource_needs, turn_priority
from trivet.config_file.reshape import check_reshapes, reshape
from trivet.config_file.response_cache import response_cache
from trivet.config_file.sequence import sequence_policy
from trivet.config_file.served import refuse_unserved
from trivet.config_file.time_limits import EXECUTION, LOAD, time_limit
from trivet.config_file.warm_up import warm_up_lengths, warm_ups
from trivet_protos.generated import model_config_pb2 as pb

_KINDS = {
    pb.ModelInstanceGroup.KIND_AUTO: InstanceKind.AUTO,
    pb.ModelInstanceGroup.KIND_CPU: InstanceKind.CPU,
    pb.ModelInstanceGroup.KIND_GPU: InstanceKind.GPU,
}


def read_config(text: str, where: str, name: str, faults: Faults) -> ModelConfig | None:
    """Read a model's configuration; what is wrong is added to `faults`, everything at once.

    text: of config.pbtxt; empty where there is no such file. where: how messages name the file,
    e.g. "embed/config.pbtxt". name: of the model's folder.
    Returns None if a fault was found. Tensors may still be missing that the artifact tells; the
    backend is "" where neither `backend` nor `platform` names one (see `backend_of`).
    """
    found = len(faults)
    message = text_format.parse(text, where, faults)
    if message is None:
        return None
    config = _config(message, where, name, faults)
    check_ragged(config, where, faults)
    check_reshapes(config, where, faults)
    check_label_task(config, where, faults)
    return config if len(faults) == found else None


def _config(message: pb.ModelConfig, where: str, name: str, faults: Faults) -> ModelConfig:
    refuse_unserved(message, where, faults)
    if message.name not in ("", name):
        what = f"is '{message.name}', but the folder is '{name}'"
        faults.add(f"{where}: name", what, "make them equal, or remove the field")
    if message.max_batch_size < 0:
        what = f"is {message.max_batch_size}, must be 0 or more"
        faults.add(f"{where}: max_batch_size", what, "0 means the model does not batch")
    inputs = _tensors(message.input, f"{where}: input", faults)
    outputs = _tensors(message.output, f"{where}: output", faults)
    parameters = {key: value.string_value for key, value in sorted(message.parameters.items())}
    check_padding(parameters, inputs, where, faults)
    faster, at = message.optimization.execution_accelerators, f"{where}: optimization"
    on_gpu = f"{at}.execution_accelerators.gpu_execution_accelerator"
    on_cpu = f"{at}.execution_accelerators.cpu_execution_accelerator"
    return ModelConfig(
        name=name,
        platform=message.platform,
        backend=_backend(message, where, faults),
        max_batch_size=message.max_batch_size,
        inputs=inputs,
        outputs=outputs,
        version_policy=_version_policy(message.version_policy, f"{where}: version_policy", faults),
        instance_groups=_instance_groups(message, f"{where}: instance_group", faults),
        dynamic_batching=batch_policy(message, parameters, where, faults),
        sequence_batching=sequence_policy(message, where, faults),
        queue_policy=queue_policy(message.dynamic_batching, f"{where}: dynamic_batching", faults),
        priorities=priorities(message.dynamic_batching, f"{where}: dynamic_batching", faults),
        steps=_steps(message, inputs, outputs, where, faults),
        parameters=parameters,
        default_model_filename=_artifact(message, where, faults),
        response_cache=response_cache(message, where, faults),
        warm_ups=warm_ups(message, where, faults),
        warm_up_lengths=warm_up_lengths(message, parameters, where, faults),
        cpu_affinity=cpu_affinity(message, parameters, where, faults),
        execution_timeout_s=time_limit(EXECUTION, message, parameters, where, faults),
        load_timeout_s=time_limit(LOAD, message, parameters, where, faults),
        max_inflight_requests=max_inflight_requests(parameters, where, faults),
        decoupled=is_decoupled(message, where, faults),
        batch_inputs=batch_inputs(message, where, faults),
        batch_outputs=batch_outputs(message, where, faults),
        gpu_accelerators=accelerators(faster.gpu_execution_accelerator, on_gpu, faults),
        cpu_accelerators=accelerators(faster.cpu_execution_accelerator, on_cpu, faults),
        graph_level=graph_level(message.optimization, at, faults),
    )


def _backend(message: pb.ModelConfig, where: str, faults: Faults) -> str:
    if message.platform in ("", Platform.ENSEMBLE.value):
        return message.backend
    told = BACKEND_BY_PLATFORM.get(message.platform)
    if told is None:
        known = ", ".join(sorted([*BACKEND_BY_PLATFORM, Platform.ENSEMBLE.value]))
        what = f"'{message.platform}' is none of {known}"
        faults.add(f"{where}: platform", what, 'remove it and write backend: "..."')
        return message.backend
    if message.backend not in ("", told):
        what = f"'{message.platform}' contradicts backend '{message.backend}'"
        faults.add(f"{where}: platform", what, "remove it; backend alone says it")
    return message.backend or told


def _steps(
    message: pb.ModelConfig,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    where: str,
    faults: Faults,
) -> tuple[Step, ...]:
    if message.platform == Platform.ENSEMBLE.value:
        if message.HasField("dynamic_batching"):
            what = "a pipeline batches nothing itself"
            faults.add(f"{where}: dynamic_batching", what, "set it on the pipeline's members")
        return pipeline_steps(message, inputs, outputs, where, faults)
    if message.HasField("ensemble_scheduling"):
        what = "is for pipelines only"
        cure = f'set platform: "{Platform.ENSEMBLE.value}", or remove it'
        faults.add(f"{where}: ensemble_scheduling", what, cure)
    return ()


def _artifact(message: pb.ModelConfig, where: str, faults: Faults) -> str:
    filename = message.default_model_filename
    if filename and (PurePosixPath(filename).name != filename or filename == ".."):
        what = f"'{filename}' is no plain file name"
        faults.add(f"{where}: default_model_filename", what, "name a file of the version's folder")
    return filename


def _version_policy(message: pb.ModelVersionPolicy, where: str, faults: Faults) -> VersionPolicy:
    match message.WhichOneof("policy_choice"):
        case "latest":
            if message.latest.num_versions == 0:
                what = "is 0, must be 1 or more"
                faults.add(f"{where}.latest.num_versions", what, "say how many versions to serve")
            return VersionPolicy(latest=message.latest.num_versions)
        case "specific":
            versions = message.specific.versions
            if not versions or min(versions) < 1:
                what = f"is {list(versions)}, must name versions of 1 or more"
                faults.add(f"{where}.specific.versions", what, "name the versions to serve")
            return VersionPolicy(specific=tuple(sorted(set(versions))))
        case "all":
            return VersionPolicy()
        case _:
            return VersionPolicy(latest=1)


def _instance_groups(
    message: pb.ModelConfig, where: str, faults: Faults
) -> tuple[InstanceGroup, ...]:
    return tuple(
        _instance_group(group, f"{where}[{index}]", faults)
        for index, group in enumerate(message.instance_group)
    )


def _instance_group(group: pb.ModelInstanceGroup, where: str, faults: Faults) -> InstanceGroup:
    kind = _KINDS.get(group.kind)
    if kind is None:
        what = "not served by this version of trivet"
        faults.add(f"{where}.kind", what, "write KIND_AUTO, KIND_CPU or KIND_GPU")
    if group.count < 0:
        faults.add(f"{where}.count", f"is {group.count}, must be 1 or more", "correct it")
    if group.gpus and kind is InstanceKind.CPU:
        faults.add(f"{where}.gpus", "contradicts KIND_CPU", "remove it, or write KIND_GPU")
    if min(group.gpus, default=0) < 0 or len(set(group.gpus)) < len(group.gpus):
        what = f"is {list(group.gpus)}, must be device numbers from 0 on, each once"
        faults.add(f"{where}.gpus", what, "correct them")
    if group.gpus and kind is InstanceKind.AUTO:
        kind = InstanceKind.GPU
    return InstanceGroup(
        count=group.count or 1,
        kind=kind or InstanceKind.AUTO,
        gpus=tuple(group.gpus),
        resources=resource_needs(group.rate_limiter, where, faults),
        priority=turn_priority(group.rate_limiter),
        profiles=profiles(group, where, faults),
    )


def _tensors(
    messages: Iterable[pb.ModelInput | pb.ModelOutput], where: str, faults: Faults
) -> tuple[TensorSpec, ...]:
    specs = tuple(
        _tensor(message, f"{where}[{index}]", faults) for index, message in enumerate(messages)
    )
    for index, name in _repeated(spec.name for spec in specs):
        what = f"there is another tensor '{name}'"
        faults.add(f"{where}[{index}].name", what, "give each tensor a name of its own")
    return specs


def _tensor(message: pb.ModelInput | pb.ModelOutput, where: str, faults: Faults) -> TensorSpec:
    if not message.name:
        faults.add(f"{where}.name", "is missing", "name the tensor as the model names it")
    datatype = wire_name(message.data_type)
    if not datatype:
        faults.add(f"{where}.data_type", "is missing", "write one, e.g. data_type: TYPE_FP32")
    dims = tuple(message.dims)
    if wrong := [dim for dim in dims if dim == 0 or dim < -1]:
        what = f"a dimension cannot be {wrong[0]}"
        faults.add(f"{where}.dims", what, "write its size, or -1 where it varies")
    if isinstance(message, pb.ModelInput):
        return TensorSpec(
            name=message.name,
            datatype=datatype,
            dims=dims,
            optional=message.optional,
            reshape=reshape(message),
            ragged=message.allow_ragged_batch,
        )
    if (path := PurePosixPath(message.label_filename)).is_absolute() or ".." in path.parts:
        what = f"'{message.label_filename}' lies outside of the model's folder"
        faults.add(f"{where}.label_filename", what, "name a file inside of it")
    return TensorSpec(
        name=message.name,
        datatype=datatype,
        dims=dims,
        label_filename=message.label_filename,
        reshape=reshape(message),
    )


def _repeated(names: Iterable[str]) -> list[tuple[int, str]]:
    """The names that were there before, with their positions."""
    seen: set[str] = set()
    repeated = []
    for index, name in enumerate(names):
        if name and name in seen:
            repeated.append((index, name))
        seen.add(name)
    return repeated
