"""Any gRPC method by name, without generated code or .proto files: grpcurl's way, in one page.

    python call.py HOST:PORT                             the services
    python call.py HOST:PORT SERVICE                     its methods
    python call.py HOST:PORT SERVICE/METHOD [JSON ...]   one call; its answers as JSON, one a line

Needs grpcio and protobuf. The server describes itself by reflection, and messages are made of the
description. JSON is protobuf's: top_k or topK, bytes as base64. Several JSON are sent as a stream.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import json_format, message_factory, text_format
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

TIMEOUT_S = 10
PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")  # one protocol, its new name first

# As much of its messages as is used here, by number; what else arrives is ignored.
PROTOCOL = """
    name: "reflection" syntax: "proto3"
    message_type { name: "Request"
        field { number: 4 name: "symbol" type: TYPE_STRING oneof_index: 0 }
        field { number: 7 name: "services" type: TYPE_STRING oneof_index: 0 }
        oneof_decl { name: "asked" } }
    message_type { name: "Response"
        field { number: 4 name: "files" type: TYPE_MESSAGE type_name: "Files" }
        field { number: 6 name: "services" type: TYPE_MESSAGE type_name: "Services" }
        field { number: 7 name: "error" type: TYPE_MESSAGE type_name: "Error" } }
    message_type { name: "Files"
        field { number: 1 name: "serialized" type: TYPE_BYTES label: LABEL_REPEATED } }
    message_type { name: "Services"
        field { number: 1 name: "service" type: TYPE_MESSAGE type_name: "Service"
                label: LABEL_REPEATED } }
    message_type { name: "Service" field { number: 1 name: "name" type: TYPE_STRING } }
    message_type { name: "Error" field { number: 2 name: "message" type: TYPE_STRING } }
"""


def show(channel: grpc.Channel, name: str, requests: list[str]) -> None:
    if not name:
        for service in reflect(channel, services="*").services.service:
            print(service.name)
        return
    service_name, _, method_name = name.partition("/")
    service = described(channel, service_name).FindServiceByName(service_name)
    if not method_name:
        for method in service.methods:
            print(f"{service_name}/{method.name}")
        return
    if (method := service.methods_by_name.get(method_name)) is None:
        raise LookupError(f"{service_name} has no method {method_name}")
    request_type = message_factory.GetMessageClass(method.input_type)
    answer_type = message_factory.GetMessageClass(method.output_type)
    messages = [json_format.Parse(text, request_type()) for text in requests or ["{}"]]
    for answer in call(channel, f"/{name}", messages, answer_type):
        print(json_format.MessageToJson(answer, indent=None, ensure_ascii=False), flush=True)


def call(channel: grpc.Channel, path: str, requests: list[Any], answer_type: Any) -> Iterator[Any]:
    """Any method: on the wire a unary call is a stream of one message each way."""
    method: grpc.StreamStreamMultiCallable[Any, Any] = channel.stream_stream(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer_type.FromString,
    )
    return iter(method(iter(requests), timeout=TIMEOUT_S))


def reflect(channel: grpc.Channel, **question: str) -> Any:
    """One question to the server's reflection, by its new name, else by its old one."""
    types = message_factory.GetMessages([text_format.Parse(PROTOCOL, FileDescriptorProto())])
    for package in PACKAGES:
        path = f"/{package}.ServerReflection/ServerReflectionInfo"
        try:
            answer = next(call(channel, path, [types["Request"](**question)], types["Response"]))
            break
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED or package == PACKAGES[-1]:
                raise
    if answer.HasField("error"):
        raise LookupError(f"{question}: {answer.error.message}")
    return answer


def described(channel: grpc.Channel, symbol: str) -> Any:
    """A pool of the file that declares `symbol` and of all files that it imports."""
    known: Any = DescriptorDatabase()
    for serialized in reflect(channel, symbol=symbol).files.serialized:
        known.Add(FileDescriptorProto.FromString(serialized))
    return DescriptorPool(known)


def main(address: str = "127.0.0.1:8001", name: str = "", *requests: str) -> int:
    try:
        with grpc.insecure_channel(address) as channel:
            show(channel, name, list(requests))
    except grpc.RpcError as error:
        print(f"{address}: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    except (LookupError, json_format.ParseError) as error:
        print(f"{address}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
