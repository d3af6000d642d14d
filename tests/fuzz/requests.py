"""Good messages for every method: what is mutated, and what fuzzing starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from trivet_protos import wire
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import health_pb2 as health
from trivet_protos.generated import reflection_v1_pb2 as reflection
from trivet_protos.generated import server_pb2 as server
from trivet_protos.generated import text_pb2 as text
from trivet_protos.pool import POOL

V2 = "/inference.GRPCInferenceService/"
TEXT = "/trivet.v1.TextService/"
ALL_TYPES = tuple(wire.DATATYPES)


def infer_request(model: str = "echo", rows: int = 2) -> pb.ModelInferRequest:
    """A request of all that a request may have, taken by the model "echo"."""
    request = pb.ModelInferRequest(model_name=model, model_version="1", id="7")
    request.parameters["sequence_id"].int64_param = 1
    request.parameters["timeout"].int64_param = 1000
    request.parameters["note"].string_param = "n"
    request.inputs.add(name="IN", datatype="FP32", shape=[rows, 3])
    request.raw_input_contents.append(np.ones((rows, 3), np.float32).tobytes())
    request.outputs.add(name="OUT").parameters["classification"].int64_param = 1
    return request


def typed_request() -> pb.ModelInferRequest:
    """The same kind of request with typed contents."""
    request = pb.ModelInferRequest(model_name="echo")
    tensor = request.inputs.add(name="IN", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend([1, float("nan"), float("inf")])
    return request


def tensor_request(datatype: str) -> pb.ModelInferRequest:
    """Two elements of any data type, raw."""
    array = np.array([b"ab", b""], object) if datatype == "BYTES" else np.ones(2)
    if datatype != "BYTES":
        array = array.astype(wire.numpy_dtype(datatype))
    request = pb.ModelInferRequest(model_name="echo")
    request.inputs.add(name="IN", datatype=datatype, shape=[2])
    request.raw_input_contents.append(wire.encode_raw(array))
    return request


def shared_request() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="echo")
    tensor = request.inputs.add(name="IN", datatype="FP32", shape=[1, 3])
    tensor.parameters["shared_memory_region"].string_param = "r"
    tensor.parameters["shared_memory_byte_size"].int64_param = 12
    return request


def _load() -> pb.RepositoryModelLoadRequest:
    request = pb.RepositoryModelLoadRequest(model_name="loaded")
    request.parameters["config"].string_param = '{"backend": "fake", "max_batch_size": 8}'
    request.parameters["file:1/model.onnx"].bytes_param = b"weights"
    return request


def _unload() -> pb.RepositoryModelUnloadRequest:
    request = pb.RepositoryModelUnloadRequest(model_name="loaded")
    request.parameters["unload_dependents"].bool_param = True
    return request


def _trace() -> pb.TraceSettingRequest:
    request = pb.TraceSettingRequest(model_name="echo")
    request.settings["trace_rate"].value.append("7")
    return request


def _log() -> pb.LogSettingsRequest:
    request = pb.LogSettingsRequest()
    request.settings["log_verbose_level"].uint32_param = 0
    return request


def _reflection() -> reflection.ServerReflectionRequest:
    return reflection.ServerReflectionRequest(file_containing_symbol="inference")


def good_message(method: str) -> Message:
    """A message for a method of this name: one that was written for it, or a small one."""
    return _written().get(method) or _small(method)


def is_taken(method: str) -> bool:
    """Whether its good message is one that a server of `whole_table` does not refuse."""
    return method in _written() and "SharedMemory" not in method and "ModelLoad" not in method


def _small(method: str) -> Message:
    """A message of a method's kind with a text in every field that takes one."""
    find: Callable[[str], MethodDescriptor] = POOL.FindMethodByName
    message = GetMessageClass(find(method[1:].replace("/", ".")).input_type)()
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING and field.name not in ("model", "version"):
            if field.is_repeated:
                getattr(message, field.name).append("a")
            else:
                setattr(message, field.name, "a")
    return message


@cache
def _written() -> Mapping[str, Message]:
    """By full name of the method."""
    named = {"name": "echo", "version": "1"}
    region = {"name": "r", "key": "/r", "offset": 0, "byte_size": 12}
    return {
        f"{V2}ServerLive": pb.ServerLiveRequest(),
        f"{V2}ServerReady": pb.ServerReadyRequest(),
        f"{V2}ServerMetadata": pb.ServerMetadataRequest(),
        f"{V2}ModelReady": pb.ModelReadyRequest(**named),
        f"{V2}ModelMetadata": pb.ModelMetadataRequest(**named),
        f"{V2}ModelConfig": pb.ModelConfigRequest(**named),
        f"{V2}ModelStatistics": pb.ModelStatisticsRequest(**named),
        f"{V2}ModelInfer": infer_request(),
        f"{V2}ModelStreamInfer": infer_request(),
        f"{V2}RepositoryIndex": pb.RepositoryIndexRequest(ready=True),
        f"{V2}RepositoryModelLoad": _load(),
        f"{V2}RepositoryModelUnload": _unload(),
        f"{V2}TraceSetting": _trace(),
        f"{V2}LogSettings": _log(),
        f"{V2}SystemSharedMemoryStatus": pb.SystemSharedMemoryStatusRequest(name="r"),
        f"{V2}SystemSharedMemoryRegister": pb.SystemSharedMemoryRegisterRequest(**region),  # type: ignore[arg-type]
        f"{V2}SystemSharedMemoryUnregister": pb.SystemSharedMemoryUnregisterRequest(name="r"),
        f"{V2}CudaSharedMemoryStatus": pb.CudaSharedMemoryStatusRequest(name="r"),
        f"{V2}CudaSharedMemoryRegister": pb.CudaSharedMemoryRegisterRequest(
            name="r", raw_handle=b"\0" * 64, byte_size=12
        ),
        f"{V2}CudaSharedMemoryUnregister": pb.CudaSharedMemoryUnregisterRequest(name="r"),
        f"{TEXT}Embed": text.EmbedRequest(texts=["a", "é"]),
        f"{TEXT}FillMask": text.FillMaskRequest(texts=["a [MASK]"], top_k=1),
        f"{TEXT}EmbedStream": text.EmbedStreamRequest(id="7", text="a"),
        f"{TEXT}FillMaskStream": text.FillMaskStreamRequest(id="7", text="a", top_k=1),
        "/trivet.v1.ServerService/ModelCost": server.ModelCostRequest(),
        "/grpc.health.v1.Health/Check": health.HealthCheckRequest(service="echo"),
        "/grpc.health.v1.Health/Watch": health.HealthCheckRequest(service="echo"),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _reflection(),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _reflection(),
    }
