"""A `ModelConfig` back to an `inference.ModelConfig` message, as the ModelConfig RPC answers it."""

from __future__ import annotations

from trivet.config import (
    BatchInput,
    BatchOutput,
    BatchPolicy,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    Step,
    TensorSpec,
    VersionPolicy,
)
from trivet.config_file.datatypes import data_type
from trivet.config_file.ensemble import LATEST
from trivet.config_file.optimization import write_optimization
from trivet.config_file.queueing import write_queueing
from trivet.config_file.rate_limiter import to_rate_limiter
from trivet.config_file.sequence import sequence_to_proto
from trivet.config_file.warm_up import to_warm_up
from trivet_protos.generated import model_config_pb2 as pb

_KINDS = {
    InstanceKind.AUTO: pb.ModelInstanceGroup.KIND_AUTO,
    InstanceKind.CPU: pb.ModelInstanceGroup.KIND_CPU,
    InstanceKind.GPU: pb.ModelInstanceGroup.KIND_GPU,
}


def to_proto(config: ModelConfig) -> pb.ModelConfig:
    """The configuration as it is served: completed, with defaults written out.

    Reading the message's text gives the same values again, but for the symbols of dimensions,
    which the file format has no place for.
    """
    message = pb.ModelConfig(
        name=config.name,
        platform=config.platform,
        backend=config.backend,
        max_batch_size=config.max_batch_size,
        input=[_input(spec) for spec in config.inputs],
        output=[_output(spec) for spec in config.outputs],
        batch_input=[_batch_input(told) for told in config.batch_inputs],
        batch_output=[_batch_output(told) for told in config.batch_outputs],
        version_policy=_version_policy(config.version_policy),
        default_model_filename=config.default_model_filename,
        parameters={
            key: pb.ModelParameter(string_value=value) for key, value in config.parameters.items()
        },
    )
    if config.is_pipeline:
        message.ensemble_scheduling.step.extend(_step(step) for step in config.steps)
    else:
        message.instance_group.extend(_instance_group(group) for group in config.instance_groups)
    if config.dynamic_batching:
        message.dynamic_batching.CopyFrom(_batching(config.dynamic_batching))
        write_queueing(config, message.dynamic_batching)
    if config.sequence_batching:
        message.sequence_batching.CopyFrom(sequence_to_proto(config.sequence_batching))
    if config.response_cache:
        message.response_cache.enable = True
    message.model_warmup.extend(map(to_warm_up, config.warm_ups))
    write_optimization(config, message)
    if config.decoupled:
        message.model_transaction_policy.decoupled = True
    return message


def _input(spec: TensorSpec) -> pb.ModelInput:
    return pb.ModelInput(
        name=spec.name,
        data_type=data_type(spec.datatype),
        dims=spec.dims,
        optional=spec.optional,
        allow_ragged_batch=spec.ragged,
        reshape=_reshape(spec),
    )


def _output(spec: TensorSpec) -> pb.ModelOutput:
    return pb.ModelOutput(
        name=spec.name,
        data_type=data_type(spec.datatype),
        dims=spec.dims,
        label_filename=spec.label_filename,
        reshape=_reshape(spec),
    )


def _reshape(spec: TensorSpec) -> pb.ModelTensorReshape | None:
    return None if spec.reshape is None else pb.ModelTensorReshape(shape=spec.reshape)


def _batch_input(told: BatchInput) -> pb.BatchInput:
    return pb.BatchInput(
        kind=told.kind.value,
        target_name=told.targets,
        data_type=data_type(told.datatype),
        source_input=[told.source],
    )


def _batch_output(told: BatchOutput) -> pb.BatchOutput:
    return pb.BatchOutput(target_name=told.targets, source_input=[told.source])


def _version_policy(policy: VersionPolicy) -> pb.ModelVersionPolicy:
    message = pb.ModelVersionPolicy()
    if policy.specific:
        message.specific.versions.extend(policy.specific)
    elif policy.latest:
        message.latest.num_versions = policy.latest
    else:
        message.all.SetInParent()
    return message


def _instance_group(group: InstanceGroup) -> pb.ModelInstanceGroup:
    return pb.ModelInstanceGroup(
        count=group.count,
        kind=_KINDS[group.kind],
        gpus=group.gpus,
        profile=map(str, group.profiles),
        rate_limiter=to_rate_limiter(group),
    )


def _batching(policy: BatchPolicy) -> pb.ModelDynamicBatching:
    return pb.ModelDynamicBatching(
        preferred_batch_size=policy.preferred_batch_sizes,
        max_queue_delay_microseconds=policy.max_queue_delay_us,
        preserve_ordering=policy.preserve_ordering,
    )


def _step(step: Step) -> pb.ModelEnsembling.Step:
    return pb.ModelEnsembling.Step(
        model_name=step.model,
        model_version=LATEST if step.version is None else step.version,
        input_map=step.input_map,
        output_map=step.output_map,
    )
