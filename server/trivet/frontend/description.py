"""What the server says of itself and its models: the telling RPCs of GRPCInferenceService."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from trivet import config_file
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput, NotFound
from trivet.frontend.codec import version_of
from trivet.frontend.method import Call, Methods, Unary
from trivet.frontend.refusal import parse
from trivet.model.model import Model
from trivet.repository.registry import Registry
from trivet.telemetry.statistics import BatchDurations, Duration, ResponseDurations, Statistics
from trivet_protos.generated import grpc_service_pb2 as pb

_SERVICE = "/inference.GRPCInferenceService/"

# The standard's names of what is really implemented, and no more.
EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "parameters",
    "statistics",
    "trace",
    "logging",
)

Metadata = pb.ModelMetadataResponse


def extensions(*, shared_memory: bool) -> Sequence[str]:
    """What is offered on this server."""
    return (*EXTENSIONS, "system_shared_memory") if shared_memory else EXTENSIONS


class Description:
    """Answers questions about the server and its models."""

    def __init__(
        self,
        registry: Registry,
        draining: asyncio.Event,
        server_name: str,
        extensions: Sequence[str] = EXTENSIONS,
    ) -> None:
        self._registry = registry
        self._draining = draining
        self._server_name = server_name
        self._extensions = extensions
        self._version = version("trivet")

    def methods(self) -> Methods:
        return {
            f"{_SERVICE}ServerLive": Unary(self.server_live),
            f"{_SERVICE}ServerReady": Unary(self.server_ready),
            f"{_SERVICE}ModelReady": Unary(self.model_ready),
            f"{_SERVICE}ServerMetadata": Unary(self.server_metadata),
            f"{_SERVICE}ModelMetadata": Unary(self.model_metadata),
            f"{_SERVICE}ModelConfig": Unary(self.model_config),
            f"{_SERVICE}ModelStatistics": Unary(self.model_statistics),
        }

    async def server_live(self, message: bytes, call: Call) -> bytes:
        parse(pb.ServerLiveRequest, message)
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, message: bytes, call: Call) -> bytes:
        parse(pb.ServerReadyRequest, message)
        ready = self._registry.all_ready() and not self._draining.is_set()
        return pb.ServerReadyResponse(ready=ready).SerializeToString()

    async def model_ready(self, message: bytes, call: Call) -> bytes:
        """An unknown model is not ready: no error, since it may be about to appear."""
        asked = parse(pb.ModelReadyRequest, message)
        known = self._registry.is_ready(asked.name, version_of(asked.version, asked.name))
        ready = known and not self._draining.is_set()
        return pb.ModelReadyResponse(ready=ready).SerializeToString()

    async def server_metadata(self, message: bytes, call: Call) -> bytes:
        parse(pb.ServerMetadataRequest, message)
        return pb.ServerMetadataResponse(
            name=self._server_name, version=self._version, extensions=self._extensions
        ).SerializeToString()

    async def model_metadata(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.ModelMetadataRequest, message)
        model = self._model(asked.name, asked.version)
        ready = [model.version] if asked.version else self._registry.versions(asked.name)
        return Metadata(
            name=asked.name,
            versions=map(str, ready),
            platform=model.config.platform or model.config.backend,
            inputs=_tensors(model.config, model.config.inputs),
            outputs=_tensors(model.config, model.config.outputs),
        ).SerializeToString()

    async def model_config(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.ModelConfigRequest, message)
        config = config_file.to_proto(self._model(asked.name, asked.version).config)
        return pb.ModelConfigResponse(config=config).SerializeToString()

    async def model_statistics(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.ModelStatisticsRequest, message)
        models = self._counted(asked.name, asked.version)
        statistics = (_statistics(model) for model in models)
        return pb.ModelStatisticsResponse(model_stats=statistics).SerializeToString()

    def _model(self, name: str, version: str) -> Model:
        with self._registry.acquire(name, version_of(version, name)) as model:
            return model

    def _counted(self, name: str, version: str) -> Iterable[Model]:
        """The versions whose statistics were asked for. What is unknown is INVALID_ARGUMENT here:
        so the protocol says."""
        if not name:
            if version:
                raise InvalidInput(
                    f"version {version[:40]!r} names no version without a model; send its name,"
                    " or neither for all models"
                )
            return self._registry.models()
        try:
            number = self._registry.number_of(name, version_of(version, name))
            ready = self._registry.versions(name)
        except NotFound as error:
            raise InvalidInput(error.message) from None
        found = ready.values() if number is None else [ready[number]] if number in ready else []
        if found:
            return found
        which = f"version {number}" if number else "any version"
        raise InvalidInput(
            f"Request for unknown model: '{name}' has not {which} that is ready;"
            " RepositoryIndex lists what there is"
        )


def _tensors(
    config: ModelConfig, specs: Iterable[TensorSpec]
) -> Iterable[pb.ModelMetadataResponse.TensorMetadata]:
    batch = (-1,) if config.max_batch_size else ()
    return (
        Metadata.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=(*batch, *spec.dims))
        for spec in specs
    )


def _statistics(model: Model) -> pb.ModelStatistics:
    counted = model.statistics
    return pb.ModelStatistics(
        name=model.config.name,
        version=str(model.version),
        last_inference=counted.last_inference_ms,
        inference_count=counted.inference_count,
        execution_count=counted.execution_count,
        inference_stats=_durations(counted),
        memory_usage=_memory(counted),
        batch_stats=[_batch(rows, batch) for rows, batch in sorted(counted.batches.items())],
        response_stats={str(place): _response(r) for place, r in counted.responses.items()},
    )


def _memory(counted: Statistics) -> Iterable[pb.MemoryUsage]:
    if counted.memory_bytes:
        yield pb.MemoryUsage(type="CPU", id=0, byte_size=counted.memory_bytes)


def _durations(counted: Statistics) -> pb.InferStatistics:
    return pb.InferStatistics(
        success=_duration(counted.success),
        fail=_duration(counted.fail),
        queue=_duration(counted.queue),
        compute_input=_duration(counted.compute_input),
        compute_infer=_duration(counted.compute_infer),
        compute_output=_duration(counted.compute_output),
        cache_hit=_duration(counted.cache_hit),
        cache_miss=_duration(counted.cache_miss),
    )


def _batch(rows: int, batch: BatchDurations) -> pb.InferBatchStatistics:
    return pb.InferBatchStatistics(
        batch_size=rows,
        compute_input=_duration(batch.compute_input),
        compute_infer=_duration(batch.compute_infer),
        compute_output=_duration(batch.compute_output),
    )


def _response(response: ResponseDurations) -> pb.InferResponseStatistics:
    return pb.InferResponseStatistics(
        compute_infer=_duration(response.compute_infer),
        compute_output=_duration(response.compute_output),
        success=_duration(response.success),
        fail=_duration(response.fail),
        empty_response=_duration(response.empty_response),
        cancel=_duration(response.cancel),
    )


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)
