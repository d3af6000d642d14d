"""Server reflection, v1 and v1alpha: grpcurl, Postman and friends need no .proto files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import ModuleType

from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor

from trivet.errors import Code
from trivet.frontend.concurrency import answer_stream
from trivet.frontend.method import Answers, BidiStream, BidiStreamHandler, Call, Methods
from trivet.frontend.refusal import parse
from trivet_protos.generated import reflection_v1_pb2 as v1
from trivet_protos.generated import reflection_v1alpha_pb2 as v1alpha
from trivet_protos.pool import POOL

# protobuf's stubs leave these without types.
_FILE: Callable[[str], FileDescriptor] = POOL.FindFileByName
_FILE_OF: Callable[[str], FileDescriptor] = POOL.FindFileContainingSymbol
_METHOD: Callable[[str], MethodDescriptor] = POOL.FindMethodByName
_MESSAGE: Callable[[str], Descriptor] = POOL.FindMessageTypeByName

_PATH = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"


def methods(others: Iterable[str], draining: asyncio.Event) -> Methods:
    """Reflection over the services of `others` (full method names) and over itself."""
    own = (_PATH.format("v1"), _PATH.format("v1alpha"))
    services = sorted({name.split("/")[1] for name in (*others, *own)})
    return {
        own[0]: BidiStream(_reflection(v1, services, draining)),
        own[1]: BidiStream(_reflection(v1alpha, services, draining)),
    }


def _reflection(
    pb: ModuleType, services: Iterable[str], draining: asyncio.Event
) -> BidiStreamHandler:
    """One version of the protocol; the two differ in nothing but their package."""

    def info(messages: AsyncIterator[bytes], call: Call) -> Answers:
        sent: set[str] = set()  # files this stream has carried; they are not sent again

        async def answer(message: bytes) -> bytes:
            request = parse(pb.ServerReflectionRequest, message)
            response = pb.ServerReflectionResponse(
                valid_host=request.host, original_request=request
            )
            _answer(request, response, services, sent)
            return bytes(response.SerializeToString())

        return answer_stream(messages, answer, in_order=True, draining=draining)

    return info


def _answer(
    request: v1.ServerReflectionRequest,
    response: v1.ServerReflectionResponse,
    services: Iterable[str],
    sent: set[str],
) -> None:
    try:
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in services:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                _files(response, _FILE(request.file_by_filename), sent)
            case "file_containing_symbol":
                found = _file_of(request.file_containing_symbol)
                _files(response, found, sent)
            case "file_containing_extension":
                extension = request.file_containing_extension
                raise KeyError(f"extension {extension.extension_number} of a message")
            case "all_extension_numbers_of_type":
                name = _MESSAGE(request.all_extension_numbers_of_type).full_name
                response.all_extension_numbers_response.base_type_name = name  # and no numbers
            case _:
                _fail(response, Code.INVALID_ARGUMENT, "the request asks nothing; set one field")
    except KeyError:
        _fail(response, Code.NOT_FOUND, "not known here; list_services says what is")


def _file_of(symbol: str) -> FileDescriptor:
    """Raises KeyError for a symbol that no file declares."""
    try:
        return _FILE_OF(symbol)
    except KeyError:  # of all that has a name, protobuf looks only for methods elsewhere
        file: FileDescriptor = _METHOD(symbol).containing_service.file
        return file


def _files(response: v1.ServerReflectionResponse, asked: FileDescriptor, sent: set[str]) -> None:
    """Put the file asked for into the answer, and what it imports as far as not sent before."""
    files = response.file_descriptor_response.file_descriptor_proto
    for file in _with_imports(asked, sent | {asked.name}):
        sent.add(file.name)
        files.append(file.serialized_pb)


def _with_imports(file: FileDescriptor, known: set[str]) -> Iterator[FileDescriptor]:
    yield file
    for imported in file.dependencies:
        if imported.name not in known:
            known.add(imported.name)
            yield from _with_imports(imported, known)


def _fail(response: v1.ServerReflectionResponse, code: Code, text: str) -> None:
    response.error_response.error_code = code
    response.error_response.error_message = text
