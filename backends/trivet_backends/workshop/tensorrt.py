"""A graph as model.plan for TensorRT, built through its API for the GPU of this machine.

A plan fits the version of TensorRT and the kind of GPU that built it. It has a profile for each
bucket of lengths, so that a short batch runs on kernels chosen for short ones. The network is
strongly typed: FP16 is computed where the graph says so. TensorRT 11 knows no other way, and with
it layer norms, pooling and softmax stay in FP32 as they do on other engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.backend.gpus import visible_gpus
from trivet.errors import Fault, InvalidConfig
from trivet_backends.tensorrt.api import CURE, Api, Messages, NotThere, installed, logger
from trivet_backends.tensorrt.engine import open_engine
from trivet_backends.tensorrt.runner import Runner
from trivet_backends.workshop.config_text import MAX_BATCH_SIZE, resigned
from trivet_backends.workshop.graph.fill_mask import TARGET_IDS, TARGET_PROBABILITIES

if TYPE_CHECKING:
    from onnx import ModelProto

# The longest token count of each bucket but the last, which goes to the model's positions. Texts of
# one sentence have some 20 tokens, of a paragraph some 100.
BUCKETS = (32, 128)
_WORKSPACE = 4 << 30  # bytes; TensorRT takes what it needs of it while it tries kernels
_GPU = 0
_LATER = (
    TARGET_IDS,
    TARGET_PROBABILITIES,
)  # which an engine without optional inputs has no use for


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan is built with. Others than the real ones are for tests."""

    find: Callable[[], Api] = installed
    see: Callable[[], tuple[int, ...]] = visible_gpus


MACHINE = Machine()


def require(machine: Machine = MACHINE) -> None:
    """Raise InvalidConfig unless plans can be built here: packages, and a GPU."""
    _api(machine)


def buckets(positions: int) -> list[tuple[int, int]]:
    """The least and most tokens of each profile, for a model of so many positions."""
    ends = [*(end for end in BUCKETS if end < positions), positions]
    return [(1 + before, end) for before, end in zip([0, *ends], ends, strict=False)]


def write_plan(model: ModelProto, positions: int, path: Path, machine: Machine = MACHINE) -> None:
    """Build an ONNX graph's engine into `path`; takes minutes.

    Raises InvalidConfig: no GPU or package, a graph that TensorRT cannot build.
    """
    api = _api(machine)
    trt, messages = api.trt, Messages()
    log = logger(trt, messages)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(_without_targets(model).SerializeToString()):
        told = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise _refusal(api, path, f"cannot read the graph: {told}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    for least, most in buckets(positions):
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            rank = len(tuple(tensor.shape))
            profile.set_shape(tensor.name, *_shapes(tensor.name, least, most, rank))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refusal(api, path, f"cannot build it: {messages.take()}")
    path.write_bytes(plan)


def run_plan(
    path: Path, inputs: Mapping[str, np.ndarray], machine: Machine = MACHINE
) -> dict[str, np.ndarray]:
    """Every output of the plan at `path` for one batch, computed as the server does."""
    api = _api(machine)
    api.called(api.cudart.cudaSetDevice(_GPU))
    context = LoadContext(version=1, path=path.parent, where=path.parent.name, threads=1, gpu=_GPU)
    engine = open_engine(api, path, context)
    names = {tensor.name for tensor in engine.inputs}
    outputs = [tensor.name for tensor in engine.outputs]
    runner = Runner(api, engine, engine.profiles, _GPU, outputs)
    try:
        return dict(runner.run({n: array for n, array in inputs.items() if n in names}))
    finally:
        runner.close()


def on_gpu(config: str, positions: int) -> str:
    """An encoder's config with a group of instances on the GPUs that uses every profile."""
    numbers = ", ".join(f'"{index}"' for index in range(len(buckets(positions))))
    group = f"instance_group [ {{ count: 1 kind: KIND_GPU profile: [ {numbers} ] }} ]"
    why = "# One instance on each GPU; for each batch the profile whose lengths are the nearest."
    return resigned(f"{config.rstrip()}\n\n{why}\n{group}\n")


def _shapes(name: str, least: int, most: int, rank: int) -> Iterable[tuple[int, ...]]:
    """The least, best and most of an input: rows, then tokens or masks.

    Masks are some of a text's tokens, perhaps just one, so their least is one in every bucket.
    """
    least = least if name in _PER_TOKEN else 1
    rest = rank - 1
    return (
        (1, *[least] * rest),
        (MAX_BATCH_SIZE, *[max(least, most // 2)] * rest),
        (MAX_BATCH_SIZE, *[most] * rest),
    )


_PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids")


def _without_targets(model: ModelProto) -> ModelProto:
    """The graph without what may be left out of a request: an engine has no optional inputs."""
    from onnx.utils import Extractor

    inputs = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    if not set(_LATER) & {*inputs, *outputs}:
        return model
    kept = ([name for name in names if name not in _LATER] for names in (inputs, outputs))
    return Extractor(model).extract_model(*kept)


def _api(machine: Machine) -> Api:
    try:
        api = machine.find()
    except NotThere as error:
        raise InvalidConfig([Fault("trivet build --to tensorrt", str(error), CURE)]) from error
    if not machine.see():
        what = "no NVIDIA GPU is to be seen here, and a plan is built on the GPU that runs it"
        cure = "build it on a machine where nvidia-smi shows one"
        raise InvalidConfig([Fault("trivet build --to tensorrt", what, cure)])
    return api


def _refusal(api: Api, path: Path, what: str) -> InvalidConfig:
    where = f"{path.parent.parent.name}/{path.name}"
    return InvalidConfig(
        [Fault(where, f"TensorRT {api.trt.__version__} {what}", "use --to onnx with CUDA")]
    )
