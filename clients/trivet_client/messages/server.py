"""Messages about the server, its models and what they did."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import text_format

from trivet_client.messages.tensors import version_number
from trivet_client.values import (
    BatchStatistics,
    Duration,
    ModelConfig,
    ModelCost,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    ServerMetadata,
    TensorMetadata,
)
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import model_config_pb2 as config_pb
from trivet_protos.generated import server_pb2


def server_metadata(response: pb.ServerMetadataResponse) -> ServerMetadata:
    return ServerMetadata(
        name=response.name, version=response.version, extensions=tuple(response.extensions)
    )


def model_metadata(response: pb.ModelMetadataResponse) -> ModelMetadata:
    versions = (version_number(text) for text in response.versions)
    return ModelMetadata(
        name=response.name,
        versions=tuple(version for version in versions if version is not None),
        platform=response.platform,
        inputs=_tensors(response.inputs),
        outputs=_tensors(response.outputs),
    )


def model_config(config: config_pb.ModelConfig) -> ModelConfig:
    return ModelConfig(
        name=config.name,
        platform=config.platform,
        backend=config.backend,
        max_batch_size=config.max_batch_size,
        inputs=tuple(_config_tensor(tensor) for tensor in config.input),
        outputs=tuple(_config_tensor(tensor) for tensor in config.output),
        parameters={key: value.string_value for key, value in config.parameters.items()},
        text=text_format.MessageToString(config),
    )


def model_states(response: pb.RepositoryIndexResponse) -> tuple[ModelState, ...]:
    return tuple(
        ModelState(
            name=model.name,
            version=version_number(model.version),
            state=model.state,
            reason=model.reason,
        )
        for model in response.models
    )


def statistics(response: pb.ModelStatisticsResponse) -> tuple[ModelStatistics, ...]:
    return tuple(_model_statistics(model) for model in response.model_stats)


def model_costs(response: server_pb2.ModelCostResponse) -> tuple[ModelCost, ...]:
    return tuple(
        ModelCost(
            name=model.model_name,
            version=model.model_version,
            tokens=model.tokens,
            padding_tokens=model.padding_tokens,
        )
        for model in response.models
    )


def _tensors(
    tensors: Iterable[pb.ModelMetadataResponse.TensorMetadata],
) -> tuple[TensorMetadata, ...]:
    return tuple(
        TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=tuple(tensor.shape))
        for tensor in tensors
    )


def _config_tensor(tensor: config_pb.ModelInput | config_pb.ModelOutput) -> TensorMetadata:
    datatype = config_pb.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    return TensorMetadata(
        name=tensor.name,
        datatype="BYTES" if datatype == "STRING" else datatype,  # the config's word for it
        shape=tuple(tensor.dims),
    )


def _model_statistics(model: pb.ModelStatistics) -> ModelStatistics:
    stats = model.inference_stats
    return ModelStatistics(
        name=model.name,
        version=version_number(model.version),
        last_inference_ms=model.last_inference,
        inference_count=model.inference_count,
        execution_count=model.execution_count,
        success=_duration(stats.success),
        fail=_duration(stats.fail),
        queue=_duration(stats.queue),
        compute_input=_duration(stats.compute_input),
        compute_infer=_duration(stats.compute_infer),
        compute_output=_duration(stats.compute_output),
        batches=tuple(_batches(batch) for batch in model.batch_stats),
    )


def _batches(batch: pb.InferBatchStatistics) -> BatchStatistics:
    return BatchStatistics(
        batch_size=batch.batch_size,
        compute_input=_duration(batch.compute_input),
        compute_infer=_duration(batch.compute_infer),
        compute_output=_duration(batch.compute_output),
    )


def _duration(duration: pb.StatisticDuration) -> Duration:
    return Duration(count=duration.count, ns=duration.ns)
