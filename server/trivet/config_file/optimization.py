"""What the engine may do to go faster: the `optimization` block, and the profiles of a group."""

from __future__ import annotations

from collections.abc import Iterable

from trivet.config import Accelerator, ModelConfig
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

_Messages = Iterable[pb.ModelOptimizationPolicy.ExecutionAccelerators.Accelerator]


def accelerators(messages: _Messages, where: str, faults: Faults) -> tuple[Accelerator, ...]:
    """Whom the engine hands what it can of the model, in order of preference."""
    found: dict[str, Accelerator] = {}
    for index, message in enumerate(messages):
        at = f"{where}[{index}].name"
        if not message.name:
            faults.add(at, "is missing", 'name one, e.g. name: "tensorrt"')
        elif message.name in found:
            faults.add(at, f"'{message.name}' is there twice", "remove one of them")
        found[message.name] = Accelerator(
            name=message.name, parameters=dict(sorted(message.parameters.items()))
        )
    return tuple(found.values())


def graph_level(message: pb.ModelOptimizationPolicy, where: str, faults: Faults) -> int:
    """How far the engine rewrites the graph, in the numbers of Triton's backend for ONNX."""
    level = message.graph.level
    if level not in (-1, 0, 1, 2):
        cure = "write -1 (basic), 0 (all), 1 (extended) or 2 (none)"
        faults.add(f"{where}.graph.level", f"is {level}", cure)
    return level


def profiles(group: pb.ModelInstanceGroup, where: str, faults: Faults) -> tuple[int, ...]:
    """The optimization profiles of an engine that a group's instances may use."""
    for index, name in enumerate(group.profile):
        if not name.isdecimal():
            what = f"'{name}' is no profile"
            faults.add(f"{where}.profile[{index}]", what, 'write its number, e.g. profile: "0"')
    return tuple(dict.fromkeys(int(name) for name in group.profile if name.isdecimal()))


def write_optimization(config: ModelConfig, message: pb.ModelConfig) -> None:
    """Put what was read back into the message."""
    if config.graph_level:
        message.optimization.graph.level = config.graph_level
    written = message.optimization.execution_accelerators if _any(config) else None
    if written is not None:
        for told, place in (
            (config.gpu_accelerators, written.gpu_execution_accelerator),
            (config.cpu_accelerators, written.cpu_execution_accelerator),
        ):
            for accelerator in told:
                place.add(name=accelerator.name, parameters=accelerator.parameters)


def _any(config: ModelConfig) -> bool:
    return bool(config.gpu_accelerators or config.cpu_accelerators)
