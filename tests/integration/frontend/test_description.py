"""What the server says of itself and of its models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version

import grpc
import pytest

from tests.harness.frontend import Served, echo_config, echo_model, publish, run_server
from trivet.config import TensorSpec
from trivet.request import Stages
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub


@pytest.fixture
def stub(server: Served) -> GRPCInferenceServiceAsyncStub:
    return GRPCInferenceServiceAsyncStub(server.channel)


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


async def test_the_server_tells_its_name_its_version_and_what_it_implements(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    told = await stub.ServerMetadata(pb.ServerMetadataRequest())
    assert told.name == "triton"
    assert told.version == version("trivet")
    offered = {"model_configuration", "parameters", "statistics", "classification", "sequence"}
    assert {*offered, "schedule_policy", "trace", "logging"} <= set(told.extensions)
    assert not {"system_shared_memory", "cuda_shared_memory"} & set(told.extensions)


async def test_readiness_follows_the_models_and_ends_with_draining(
    server: Served, stub: GRPCInferenceServiceAsyncStub
) -> None:
    async def ready() -> tuple[bool, bool]:
        return (
            (await stub.ServerReady(pb.ServerReadyRequest())).ready,
            (await stub.ModelReady(pb.ModelReadyRequest(name="echo", version="1"))).ready,
        )

    assert await ready() == (True, True)
    server.registry.loading("late", 1)
    assert await ready() == (False, True)
    publish(server.registry, echo_model("late"))
    assert await ready() == (True, True)
    server.draining.set()
    assert await ready() == (False, False)
    assert (await stub.ServerLive(pb.ServerLiveRequest())).live


@pytest.mark.parametrize(("name", "number"), [("nobody", ""), ("echo", "9")])
async def test_an_unknown_model_is_simply_not_ready(
    stub: GRPCInferenceServiceAsyncStub, name: str, number: str
) -> None:
    told = await stub.ModelReady(pb.ModelReadyRequest(name=name, version=number))
    assert told.ready is False


@pytest.mark.parametrize("number", ["x", "0", "-1", "1.0", "01"])
async def test_a_version_that_is_no_positive_integer_is_refused(
    stub: GRPCInferenceServiceAsyncStub, number: str
) -> None:
    calls = [
        stub.ModelReady(pb.ModelReadyRequest(name="echo", version=number)),
        stub.ModelMetadata(pb.ModelMetadataRequest(name="echo", version=number)),
        stub.ModelConfig(pb.ModelConfigRequest(name="echo", version=number)),
        stub.ModelStatistics(pb.ModelStatisticsRequest(name="echo", version=number)),
    ]
    for call in calls:
        code, text = await refused(call)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert f"version '{number}' is no positive integer" in text


async def test_metadata_tells_shapes_with_the_batch_dimension_and_the_ready_versions() -> None:
    batched = echo_config(
        inputs=(
            TensorSpec(name="A", datatype="INT64", dims=(-1, 4)),
            TensorSpec(name="B", datatype="BYTES", dims=(1,)),
        )
    )
    async with run_server(
        echo_model(version=2, inputs=batched.inputs),
        echo_model(version=10, inputs=batched.inputs),
        echo_model("plain", max_batch_size=0, platform="ensemble"),
    ) as served:
        stub = GRPCInferenceServiceAsyncStub(served.channel)
        told = await stub.ModelMetadata(pb.ModelMetadataRequest(name="echo"))
        one = await stub.ModelMetadata(pb.ModelMetadataRequest(name="echo", version="2"))
        plain = await stub.ModelMetadata(pb.ModelMetadataRequest(name="plain"))
    assert list(told.versions) == ["2", "10"]
    assert list(one.versions) == ["2"]
    assert (told.name, told.platform, plain.platform) == ("echo", "fake", "ensemble")
    assert [(t.name, t.datatype, list(t.shape)) for t in told.inputs] == [
        ("A", "INT64", [-1, -1, 4]),
        ("B", "BYTES", [-1, 1]),
    ]
    assert [list(t.shape) for t in plain.outputs] == [[-1]]


async def test_the_configuration_is_told_as_a_model_config(
    stub: GRPCInferenceServiceAsyncStub,
) -> None:
    config = (await stub.ModelConfig(pb.ModelConfigRequest(name="echo"))).config
    assert (config.name, config.backend, config.max_batch_size) == ("echo", "fake", 8)
    assert [tensor.name for tensor in config.input] == ["IN"]


@pytest.mark.parametrize("number", ["", "3"])
async def test_metadata_and_configuration_of_what_is_unknown_are_not_found(
    stub: GRPCInferenceServiceAsyncStub, number: str
) -> None:
    name = "echo" if number else "nobody"
    for call in (
        stub.ModelMetadata(pb.ModelMetadataRequest(name=name, version=number)),
        stub.ModelConfig(pb.ModelConfigRequest(name=name, version=number)),
    ):
        code, text = await refused(call)
        assert code == grpc.StatusCode.NOT_FOUND
        assert f"Request for unknown model: '{name}'" in text


async def test_the_index_lists_every_version_with_its_state(
    server: Served, stub: GRPCInferenceServiceAsyncStub
) -> None:
    server.registry.loading("slow", 3)
    server.registry.failed("broken", 1, "model.onnx is missing")
    index = await stub.RepositoryIndex(pb.RepositoryIndexRequest())
    assert [(m.name, m.version, m.state, m.reason) for m in index.models] == [
        ("broken", "1", "UNAVAILABLE", "model.onnx is missing"),
        ("echo", "1", "READY", ""),
        ("slow", "3", "LOADING", ""),
    ]
    ready = await stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
    assert [m.name for m in ready.models] == ["echo"]


async def test_there_is_one_repository(stub: GRPCInferenceServiceAsyncStub) -> None:
    code, text = await refused(stub.RepositoryIndex(pb.RepositoryIndexRequest(repository_name="x")))
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert "repository_name" in text and "leave it empty" in text


async def test_statistics_are_told_field_by_field() -> None:
    model = echo_model()
    stages = Stages(queue_ns=1, compute_input_ns=2, compute_infer_ns=3, compute_output_ns=4)
    model.statistics.request_done(2, 100, stages)
    model.statistics.request_done(1, 50, stages)
    model.statistics.request_failed(7)
    model.statistics.batch_done(3, stages)
    model.statistics.batch_done(1, stages)
    async with run_server(model, echo_model("other", 4)) as served:
        stub = GRPCInferenceServiceAsyncStub(served.channel)
        (told,) = (await stub.ModelStatistics(pb.ModelStatisticsRequest(name="echo"))).model_stats
        every = (await stub.ModelStatistics(pb.ModelStatisticsRequest())).model_stats
    assert [(m.name, m.version) for m in every] == [("echo", "1"), ("other", "4")]
    assert (told.inference_count, told.execution_count) == (3, 2)
    assert told.last_inference == model.statistics.last_inference_ms > 0
    stats = told.inference_stats
    assert [
        (d.count, d.ns)
        for d in (
            stats.success,
            stats.fail,
            stats.queue,
            stats.compute_input,
            stats.compute_infer,
            stats.compute_output,
        )
    ] == [(2, 150), (1, 7), (2, 2), (2, 4), (2, 6), (2, 8)]
    assert stats.HasField("cache_hit") and stats.HasField("cache_miss")
    assert [
        (b.batch_size, b.compute_input.ns, b.compute_infer.ns, b.compute_output.ns)
        for b in told.batch_stats
    ] == [(1, 2, 3, 4), (3, 2, 3, 4)]


@pytest.mark.parametrize(("name", "number"), [("nobody", ""), ("echo", "9"), ("slow", "")])
async def test_statistics_of_what_is_not_ready_are_an_invalid_argument(
    server: Served, stub: GRPCInferenceServiceAsyncStub, name: str, number: str
) -> None:
    server.registry.loading("slow", 3)
    code, text = await refused(
        stub.ModelStatistics(pb.ModelStatisticsRequest(name=name, version=number))
    )
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert f"Request for unknown model: '{name}'" in text
    assert "RepositoryIndex" in text


@pytest.mark.parametrize("name", ["RepositoryModelLoad", "RepositoryModelUnload"])
async def test_models_are_not_loaded_by_clients_unless_that_is_switched_on(
    server: Served, name: str
) -> None:
    call: Callable[[bytes], Awaitable[bytes]] = server.channel.unary_unary(
        f"/inference.GRPCInferenceService/{name}"
    )
    code, text = await refused(call(b""))
    assert code == grpc.StatusCode.UNAVAILABLE
    assert "explicit model load / unload is not allowed" in text


async def test_every_rpc_of_the_standard_service_is_answered(server: Served) -> None:
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    for method in methods:
        if method.name == "ModelStreamInfer":
            continue
        call = server.channel.unary_unary(f"/inference.GRPCInferenceService/{method.name}")
        try:
            await call(b"")
        except grpc.aio.AioRpcError as error:
            assert "unknown method" not in (error.details() or "")
