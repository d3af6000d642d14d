"""TensorRT and CUDA as the backend calls them, on the CPU: names and meanings of the real ones.

Written after tensorrt's published stubs (10.13) and cuda.bindings 12.9. What a stream is given is
done when it is waited for and not before, in order; memory is found by address; a profile refuses
shapes that it does not take. A plan is JSON: tensors, profiles, and the name of a program here.
"""

from __future__ import annotations

import base64
import ctypes
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.harness.artifacts import EMBEDDINGS
from trivet_backends.tensorrt.api import Api

VERSION = "10.13.0"
Arrays = dict[str, np.ndarray]
Shape = tuple[int, ...]


class cudaError_t(IntEnum):  # noqa: N801  as in CUDA
    cudaSuccess = 0  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorIllegalAddress = 700  # noqa: N815


class Kind(IntEnum):
    cudaMemcpyHostToDevice = 1  # noqa: N815
    cudaMemcpyDeviceToHost = 2  # noqa: N815


OK = cudaError_t.cudaSuccess


@dataclass
class FakeCuda:
    """cuda.bindings.runtime. Functions give (error, value...), as there."""

    memory: dict[int, Any] = field(default_factory=dict)  # by address: on the host and the device
    on_device: set[int] = field(default_factory=set)
    streams: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    devices: list[int] = field(default_factory=list)  # each that was made the current one
    fails: dict[str, cudaError_t] = field(default_factory=dict)  # functions that fail, from now on
    cudaMemcpyKind = Kind  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)
        return lambda *arguments: self._call(name, *arguments)

    def _call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        if (error := self.fails.get(name)) is not None:
            return (error, None)
        found = getattr(self, f"_{name}")(*arguments)
        return (OK,) if found is None else (OK, found)

    def _cudaGetErrorString(self, error: cudaError_t) -> bytes:  # noqa: N802
        return error.name.encode()

    def _cudaSetDevice(self, device: int) -> None:  # noqa: N802
        self.devices.append(device)

    def _cudaMalloc(self, size: int) -> int:  # noqa: N802
        address = self._cudaMallocHost(size)
        self.on_device.add(address)
        return address

    def _cudaMallocHost(self, size: int) -> int:  # noqa: N802
        memory = (ctypes.c_byte * size)()
        self.memory[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def _cudaFree(self, address: int) -> None:  # noqa: N802
        self.on_device.remove(address)
        del self.memory[address]

    def _cudaFreeHost(self, address: int) -> None:  # noqa: N802
        assert address not in self.on_device
        del self.memory[address]

    def _cudaStreamCreateWithFlags(self, flags: int) -> int:  # noqa: N802
        assert flags == self.cudaStreamNonBlocking
        stream = 1000 + len(self.streams)
        self.streams[stream] = []
        return stream

    def _cudaStreamDestroy(self, stream: int) -> None:  # noqa: N802
        assert self.streams.pop(stream) == []

    def _cudaMemcpyAsync(  # noqa: N802
        self, to: int, source: int, count: int, kind: Kind, stream: int
    ) -> None:
        to_device = kind is Kind.cudaMemcpyHostToDevice
        assert (to in self.on_device, source in self.on_device) == (to_device, not to_device)
        for address in (to, source):
            assert count <= len(self.memory[address])
        self.streams[stream].append(partial(_copy, to, source, count))

    def _cudaStreamSynchronize(self, stream: int) -> None:  # noqa: N802
        queue = self.streams[stream]
        while queue:
            queue.pop(0)()


def _copy(to: int, source: int, count: int) -> None:
    ctypes.memmove(to, source, count)


class DataType(Enum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    FP8 = 6
    BF16 = 7
    INT64 = 8


class TensorIOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class TensorLocation(Enum):
    DEVICE = 0
    HOST = 1


class TensorFormat(Enum):
    LINEAR = 0
    CHW4 = 1


class MemoryPoolType(Enum):
    WORKSPACE = 0


class CreationFlag(IntEnum):
    STRONGLY_TYPED = 1


NUMPY = {"FLOAT": np.float32, "INT64": np.int64, "INT32": np.int32, "HALF": np.float16}


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)

    def __init__(self) -> None:
        self.initialised = True

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


class Runtime:
    def __init__(self, log: ILogger, cuda: FakeCuda) -> None:
        assert log.initialised
        self._log, self._cuda = log, cuda

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        told = json.loads(plan)
        self._log.log(ILogger.WARNING, "this is no error")
        if told["version"] != VERSION:
            message = f"The engine plan file expects\nlibrary version {told['version']}"
            self._log.log(ILogger.ERROR, message)
            return None
        return Engine(told, self._log, self._cuda)


class Engine:
    def __init__(self, told: Mapping[str, Any], log: ILogger, cuda: FakeCuda) -> None:
        self._tensors: Mapping[str, Mapping[str, Any]] = told["tensors"]
        self.profiles: Sequence[Mapping[str, Sequence[Shape]]] = told["profiles"]
        graph = told.get("graph")  # of a plan that was built
        self.program = _graph_program(graph) if graph else PROGRAMS[told["program"]]
        self.log, self.cuda = log, cuda
        self.contexts: list[Context] = []

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode[self._tensors[name]["mode"]]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self._tensors[name]["dtype"]]

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        return list(self._tensors[name]["shape"])

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation[self._tensors[name].get("location", "DEVICE")]

    def get_tensor_format(self, name: str) -> TensorFormat:
        return TensorFormat[self._tensors[name].get("format", "LINEAR")]

    def is_shape_inference_io(self, name: str) -> bool:
        return bool(self._tensors[name].get("is_shape", False))

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> Sequence[Shape]:
        return self.profiles[profile_index][name]

    def create_execution_context(self) -> Context:
        self.contexts.append(Context(self))
        return self.contexts[-1]


class Context:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.profile = 0
        self.runs = 0
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle in self._engine.cuda.streams
        self.profile, self._shapes = profile_index, {}
        return True

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        least, _, most = self._engine.get_tensor_profile_shape(name, self.profile)
        if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
            self._engine.log.log(ILogger.ERROR, f"{name}: {shape} is out of profile {self.profile}")
            return False
        self._shapes[name] = shape
        return True

    def infer_shapes(self) -> list[str]:
        missing = [n for n in self._names(TensorIOMode.INPUT) if n not in self._shapes]
        if missing or self._outputs() is None:
            return missing or ["shapes do not fit"]
        return []

    def get_tensor_shape(self, name: str) -> Shape:
        found = self._outputs() or {}
        return found[name].shape if name in found else (-1,)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return memory in self._engine.cuda.on_device

    def execute_async_v3(self, stream_handle: int) -> bool:
        shapes, addresses = dict(self._shapes), dict(self._addresses)
        if self._engine.program is fails:
            self._engine.log.log(ILogger.INTERNAL_ERROR, "a tactic failed")
            return False

        def compute() -> None:
            inputs = {name: self._array(name, shape, addresses) for name, shape in shapes.items()}
            for name, array in self._engine.program(inputs).items():
                np.copyto(self._array(name, array.shape, addresses), array)

        self._engine.cuda.streams[stream_handle].append(compute)
        self.runs += 1
        return True

    def _names(self, mode: TensorIOMode) -> list[str]:
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        return [name for name in names if self._engine.get_tensor_mode(name) is mode]

    def _outputs(self) -> Arrays | None:
        zeros = {name: np.ones(s, self._dtype(name)) for name, s in self._shapes.items()}
        try:
            return self._engine.program(zeros)
        except ValueError:  # numpy's word for shapes that do not fit
            return None

    def _dtype(self, name: str) -> Any:
        return np.dtype(NUMPY[self._engine.get_tensor_dtype(name).name])

    def _array(self, name: str, shape: Shape, addresses: Mapping[str, int]) -> np.ndarray:
        memory = self._engine.cuda.memory[addresses[name]]
        return np.ndarray(shape, self._dtype(name), buffer=memory)


def pooling(inputs: Arrays) -> Arrays:
    """As `artifacts.write_pooling_graph`; an id that the table lacks reads another row, unasked."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    hidden = EMBEDDINGS[ids % len(EMBEDDINGS)]
    weight = mask[..., None].astype(np.float32)
    embedding = (hidden * weight).sum(1) / weight.sum(1)
    return {"hidden": hidden, "embedding": embedding}


def fails(inputs: Arrays) -> Arrays:
    return pooling(inputs)


def _graph_program(graph: str) -> Callable[[Arrays], Arrays]:
    """An ONNX graph, in base64, on ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    cpu = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(base64.b64decode(graph), options, providers=cpu)
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> Arrays:
        try:
            return dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # the engine's exceptions share no base but this
            raise ValueError(str(error)) from error

    return run


class Network:
    def __init__(self, flags: int) -> None:
        assert flags == 1 << int(CreationFlag.STRONGLY_TYPED)
        self.model: onnx.ModelProto | None = None

    @property
    def num_inputs(self) -> int:
        return len(self._inputs())

    def get_input(self, index: int) -> SimpleNamespace:
        value = self._inputs()[index]
        return SimpleNamespace(name=value.name, shape=_dims(value))

    def _inputs(self) -> Sequence[onnx.ValueInfoProto]:
        assert self.model is not None
        weights = {tensor.name for tensor in self.model.graph.initializer}
        return [value for value in self.model.graph.input if value.name not in weights]


class OnnxParser:
    def __init__(self, network: Network, log: ILogger) -> None:
        self._network = network
        self.num_errors = 0

    def parse(self, model: bytes) -> bool:
        parsed = onnx.load_model_from_string(model)
        if any(node.op_type == "NonZero" for node in parsed.graph.node):
            self.num_errors = 1
            return False
        self._network.model = parsed
        return True

    def get_error(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(desc=lambda: "NonZero is not supported")


class Builder:
    """Its plans run the graph that was parsed on ONNX Runtime."""

    def __init__(self, log: ILogger) -> None:
        self._log = log

    def create_network(self, flags: int) -> Network:
        return Network(flags)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def create_optimization_profile(self) -> OptimizationProfile:
        return OptimizationProfile()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> bytes | None:
        assert network.model is not None
        graph = network.model.graph
        inputs = [network.get_input(index).name for index in range(network.num_inputs)]
        if any(set(inputs) != profile.shapes.keys() for profile in config.profiles):
            self._log.log(ILogger.ERROR, "a dynamic input has no profile")
            return None
        tensors = {
            value.name: _tensor(value, "INPUT") for value in graph.input if value.name in inputs
        }
        tensors.update({value.name: _tensor(value, "OUTPUT") for value in graph.output})
        told = {
            "version": VERSION,
            "graph": base64.b64encode(network.model.SerializeToString()).decode(),
            "tensors": tensors,
            "profiles": [profile.shapes for profile in config.profiles],
        }
        return json.dumps(told).encode()


class BuilderConfig:
    def __init__(self) -> None:
        self.profiles: list[OptimizationProfile] = []

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        assert pool is MemoryPoolType.WORKSPACE

    def add_optimization_profile(self, profile: OptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class OptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[Shape, Shape, Shape]] = {}

    def set_shape(self, input: str, min: Shape, opt: Shape, max: Shape) -> None:  # noqa: A002
        for low, best, high in zip(min, opt, max, strict=True):
            assert low <= best <= high
        self.shapes[input] = (min, opt, max)


def _dims(value: onnx.ValueInfoProto) -> Shape:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)


def _tensor(value: onnx.ValueInfoProto, mode: str) -> dict[str, Any]:
    element = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    return {"mode": mode, "dtype": element, "shape": _dims(value)}


PROGRAMS = {"pooling": pooling, "fails": fails}


def fake_api(cuda: FakeCuda | None = None) -> Api:
    """Both modules."""
    own = cuda or FakeCuda()
    trt = SimpleNamespace(
        __version__=VERSION,
        ILogger=ILogger,
        Runtime=lambda log: Runtime(log, own),
        TensorIOMode=TensorIOMode,
        TensorLocation=TensorLocation,
        TensorFormat=TensorFormat,
        Builder=Builder,
        OnnxParser=OnnxParser,
        MemoryPoolType=MemoryPoolType,
        NetworkDefinitionCreationFlag=CreationFlag,
    )
    return Api(trt, own)


def pooling_plan(*ranges: tuple[int, int, int], rows: int = 16, **changes: Any) -> dict[str, Any]:
    """A plan of the pooling program. ranges: least, best and most tokens of each profile.

    changes: of the plan, e.g. version="9.0", or of a tensor, e.g. hidden={"dtype": "FP8"}.
    """
    names = ("input_ids", "attention_mask")
    tensors: dict[str, dict[str, Any]] = {
        **{n: {"mode": "INPUT", "dtype": "INT64", "shape": [-1, -1]} for n in names},
        "hidden": {"mode": "OUTPUT", "dtype": "FLOAT", "shape": [-1, -1, 4]},
        "embedding": {"mode": "OUTPUT", "dtype": "FLOAT", "shape": [-1, 4]},
    }
    for name in [*changes]:
        if name in tensors:
            tensors[name].update(changes.pop(name))
    profiles = [
        {n: [[1, least], [rows, best], [rows, most]] for n in names}
        for least, best, most in ranges or [(1, 16, 32)]
    ]
    return {
        "version": VERSION,
        "program": "pooling",
        "tensors": tensors,
        "profiles": profiles,
        **changes,
    }


def write_plan(folder: Path, plan: Mapping[str, Any] | None = None) -> Path:
    path = folder / "model.plan"
    path.write_text(json.dumps(plan or pooling_plan()))
    return path
