"""Reflection, v1 and v1alpha, through the generated stubs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from tests.harness.frontend import Served
from trivet_protos.generated import (
    reflection_v1_pb2,
    reflection_v1_pb2_grpc,
    reflection_v1alpha_pb2,
    reflection_v1alpha_pb2_grpc,
)

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    "trivet.v1.ServerService",
    "trivet.v1.TextService",
]


class Asker:
    """One reflection stream."""

    def __init__(self, pb: ModuleType, stub: Any) -> None:
        self.pb = pb
        self._stream = stub.ServerReflectionInfo()

    async def ask(self, **question: Any) -> Any:
        await self._stream.write(self.pb.ServerReflectionRequest(host="me", **question))
        return await self._stream.read()

    async def files(self, **question: Any) -> list[FileDescriptorProto]:
        answer = (await self.ask(**question)).file_descriptor_response
        return [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_proto]

    async def error(self, **question: Any) -> int:
        answer = await self.ask(**question)
        assert answer.WhichOneof("message_response") == "error_response"
        assert answer.error_response.error_message
        return int(answer.error_response.error_code)


@pytest.fixture(params=["v1", "v1alpha"])
def asker(server: Served, request: pytest.FixtureRequest) -> Asker:
    if request.param == "v1":
        return Asker(
            reflection_v1_pb2, reflection_v1_pb2_grpc.ServerReflectionAsyncStub(server.channel)
        )
    return Asker(
        reflection_v1alpha_pb2,
        reflection_v1alpha_pb2_grpc.ServerReflectionAsyncStub(server.channel),
    )


async def test_all_services_are_listed(asker: Asker) -> None:
    answer = await asker.ask(list_services="*")
    assert [service.name for service in answer.list_services_response.service] == SERVICES
    assert answer.valid_host == "me"
    assert answer.original_request.list_services == "*"


@pytest.mark.parametrize(
    "symbol",
    [
        "inference.GRPCInferenceService",
        "inference.GRPCInferenceService.ModelInfer",
        "inference.ModelInferRequest",
        "inference.ModelInferRequest.InferInputTensor",
    ],
)
async def test_a_symbol_is_answered_with_its_file_and_what_that_imports(
    asker: Asker, symbol: str
) -> None:
    files = await asker.files(file_containing_symbol=symbol)
    assert [file.name for file in files] == ["grpc_service.proto", "model_config.proto"]


async def test_what_a_stream_has_carried_as_an_import_is_not_sent_again(asker: Asker) -> None:
    await asker.files(file_by_filename="grpc_service.proto")
    again = await asker.files(file_by_filename="grpc_service.proto")
    assert [file.name for file in again] == ["grpc_service.proto"]


async def test_a_client_can_build_every_service_from_what_it_is_told(asker: Asker) -> None:
    pool, known = DescriptorPool(), set()
    for service in SERVICES:
        for file in reversed(await asker.files(file_containing_symbol=service)):
            if file.name not in known:
                pool.Add(file)  # type: ignore[no-untyped-call]
                known.add(file.name)
    for service in SERVICES:
        assert pool.FindServiceByName(service).methods  # type: ignore[no-untyped-call]


async def test_what_is_unknown_is_answered_in_band_and_the_stream_stays_open(asker: Asker) -> None:
    extension = asker.pb.ExtensionRequest(
        containing_type="inference.ModelInferRequest", extension_number=100
    )
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    assert await asker.error(file_by_filename="nothing.proto") == not_found
    assert await asker.error(file_containing_symbol="no.Such") == not_found
    assert await asker.error(file_containing_extension=extension) == not_found
    assert await asker.error(all_extension_numbers_of_type="no.Such") == not_found
    assert await asker.error() == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert await asker.files(file_by_filename="model_config.proto")


async def test_a_known_message_has_no_extensions(asker: Asker) -> None:
    answer = await asker.ask(all_extension_numbers_of_type="inference.ModelInferRequest")
    told = answer.all_extension_numbers_response
    assert told.base_type_name == "inference.ModelInferRequest"
    assert list(told.extension_number) == []
