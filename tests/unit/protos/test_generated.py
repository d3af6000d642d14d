"""The committed code is what the .proto files generate, and lives beside other clients' code."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format, message_factory, text_format
from google.protobuf.message import Message

from trivet_protos.generated import (
    grpc_service_pb2,
    health_pb2,
    health_pb2_grpc,
    model_config_pb2,
    reflection_v1_pb2,
    reflection_v1alpha_pb2,
    text_pb2,
)
from trivet_protos.pool import POOL

PROTOS = Path(__file__).parents[3] / "protos"

OURS = (
    "from trivet_protos.generated import grpc_service_pb2 as ours, model_config_pb2 as our_config"
)
THEIRS = "from tritonclient.grpc import service_pb2 as theirs, model_config_pb2 as their_config"
COMPARE = """
from google.protobuf.descriptor_pb2 import FileDescriptorProto
def descriptor(module):
    proto = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(proto)
    return proto
assert descriptor(ours) == descriptor(theirs), "grpc_service.proto differs"
assert descriptor(our_config) == descriptor(their_config), "model_config.proto differs"

def request(pb):
    tensor = pb.ModelInferRequest.InferInputTensor(name="IDS", datatype="INT64", shape=[1, -2])
    tensor.contents.int64_contents.extend([7, -7])
    message = pb.ModelInferRequest(model_name="m", inputs=[tensor], raw_input_contents=[b"x"])
    message.parameters["priority"].uint64_param = 2**64 - 1
    return message
ours_sent = request(ours).SerializeToString(deterministic=True)
theirs_sent = request(theirs).SerializeToString(deterministic=True)
assert ours_sent == theirs_sent and ours_sent
assert ours.ModelInferRequest.FromString(theirs_sent) == request(ours)
assert theirs.ModelInferRequest.FromString(ours_sent) == request(theirs)
"""


@pytest.mark.parametrize("imports", [[OURS, THEIRS], [THEIRS, OURS]], ids=["ours_first", "last"])
def test_tritonclient_and_we_share_a_process_and_a_wire_format(imports: list[str]) -> None:
    script = "\n".join([*imports, COMPARE])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_committed_code_is_what_the_proto_files_generate() -> None:
    done = check(PROTOS)
    assert done.returncode == 0, done.stderr


def test_every_file_that_differs_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "protos"
    shutil.copytree(PROTOS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = copy / "trivet_protos/trivet/v1/text.proto"
    text.write_text(text.read_text().replace("uint32 top_k = 4;", "uint32 best = 4;"))
    generated = copy / "trivet_protos/generated"
    (generated / "health_pb2.py").unlink()
    (generated / "left_over_pb2.py").touch()

    done = check(copy)

    assert done.returncode == 1
    assert "generated/health_pb2.py is missing" in done.stderr
    assert "generated/left_over_pb2.py is generated from no .proto file" in done.stderr
    assert "generated/text_pb2.py is not what its .proto file generates" in done.stderr
    assert "generated/text_pb2.pyi is not what its .proto file generates" in done.stderr
    assert "grpc_service" not in done.stderr


def test_a_proto_file_without_a_module_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "protos"
    shutil.copytree(PROTOS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "trivet_protos/new.proto").write_text('syntax = "proto3";\n')

    done = check(copy)

    assert done.returncode == 1
    assert "differ in new.proto; mend MODULES" in done.stderr


def check(protos: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(protos / "generate.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_config_reads_from_text_and_json_in_our_own_pool() -> None:
    config = text_format.Parse(
        """
        name: "embed" max_batch_size: 8
        input { name: "IDS" data_type: TYPE_INT64 dims: [ -1 ] }
        parameters { key: "max_batch_tokens" value { string_value: "512" } }
        version_policy { specific { versions: [ 3 ] } }
        dynamic_batching { priority_queue_policy { key: 2 value { max_queue_size: 4 } } }
        """,
        model_config_pb2.ModelConfig(),
    )
    assert config.parameters["max_batch_tokens"].string_value == "512"
    assert config.dynamic_batching.priority_queue_policy[2].max_queue_size == 4
    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
    again = json_format.Parse(json_format.MessageToJson(config), model_config_pb2.ModelConfig())
    assert again == config
    again = text_format.Parse(text_format.MessageToString(config), model_config_pb2.ModelConfig())
    assert again == config


@pytest.mark.parametrize(
    "message_class",
    [
        model_config_pb2.ModelConfig,
        grpc_service_pb2.ModelInferRequest,
        health_pb2.HealthCheckRequest,
        reflection_v1_pb2.ServerReflectionRequest,
        reflection_v1alpha_pb2.ServerReflectionRequest,
        text_pb2.FillMaskRequest,
    ],
    ids=lambda message_class: message_class.DESCRIPTOR.full_name,
)
def test_a_message_class_is_found_by_its_name_in_our_pool(message_class: type[Message]) -> None:
    name = message_class.DESCRIPTOR.full_name
    descriptor = POOL.FindMessageTypeByName(name)  # type: ignore[no-untyped-call]
    assert message_factory.GetMessageClass(descriptor) is message_class


@pytest.mark.parametrize(
    ("message", "on_the_wire"),
    [
        (health_pb2.HealthCheckRequest(service="m"), b"\x0a\x01m"),
        (health_pb2.HealthCheckResponse(status="SERVICE_UNKNOWN"), b"\x08\x03"),
        (
            reflection_v1_pb2.ServerReflectionRequest(host="h", list_services="*"),
            b"\x0a\x01h\x3a\x01*",
        ),
        (reflection_v1alpha_pb2.ServerReflectionRequest(file_by_filename="f"), b"\x1a\x01f"),
        (
            reflection_v1_pb2.ServerReflectionResponse(
                valid_host="h",
                list_services_response={"service": [reflection_v1_pb2.ServiceResponse(name="s")]},
            ),
            b"\x0a\x01h\x32\x05\x0a\x03\x0a\x01s",
        ),
        (
            reflection_v1alpha_pb2.ServerReflectionResponse(
                error_response=reflection_v1alpha_pb2.ErrorResponse(error_code=5, error_message="n")
            ),
            b"\x3a\x05\x08\x05\x12\x01n",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_standard_messages_have_the_bytes_of_the_public_protocol(
    message: Message, on_the_wire: bytes
) -> None:
    assert message.SerializeToString() == on_the_wire


def test_every_call_of_the_text_service_has_messages_of_its_own() -> None:
    name = "trivet.v1.TextService"
    service = POOL.FindServiceByName(name)  # type: ignore[no-untyped-call]
    calls = {m.name: (m.input_type.full_name, m.output_type.full_name) for m in service.methods}
    assert {"FillMask", "Embed", "FillMaskStream", "EmbedStream"} <= set(calls)
    assert calls == {n: (f"trivet.v1.{n}Request", f"trivet.v1.{n}Response") for n in calls}


class Serving(health_pb2_grpc.HealthServicer):
    """Everything serves."""

    async def Check(  # noqa: N802 - the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ],
    ) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status="SERVING")

    async def Watch(  # noqa: N802 - the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ],
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        yield health_pb2.HealthCheckResponse(status="NOT_SERVING")
        yield health_pb2.HealthCheckResponse(status="SERVING")


async def test_stubs_call_a_servicer_over_both_kinds_of_channel() -> None:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Serving(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        request = health_pb2.HealthCheckRequest()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthAsyncStub(channel)
            assert (await stub.Check(request, timeout=10)).status == 1
            assert [answer.status async for answer in stub.Watch(request, timeout=10)] == [2, 1]
        assert await asyncio.to_thread(statuses_over_a_blocking_channel, port) == [1, 2, 1]
    finally:
        await server.stop(grace=None)


def statuses_over_a_blocking_channel(port: int) -> list[int]:
    request = health_pb2.HealthCheckRequest()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watched = stub.Watch(request, timeout=10)
        return [stub.Check(request, timeout=10).status, *(answer.status for answer in watched)]
