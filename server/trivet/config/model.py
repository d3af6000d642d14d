"""One model's whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from trivet.config.batching import BatchPolicy, Priorities, QueuePolicy
from trivet.config.instances import Accelerator, InstanceGroup
from trivet.config.pipelines import LabelTask, Step
from trivet.config.sequences import SequencePolicy
from trivet.config.tensors import BatchInput, BatchOutput, TensorSpec
from trivet.config.warm_up import WarmUp


class Platform(Enum):
    """Who answers: a backend's instances, or a pipeline of other models."""

    BACKEND = "backend"
    ENSEMBLE = "ensemble"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPolicy:
    """Which numbered versions are served: the latest N, or the ones named, or all (both empty)."""

    latest: int = 0
    specific: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Everything the server needs to know to serve one model."""

    name: str
    platform: str = ""  # as written, e.g. "ensemble" or "onnxruntime_onnx"; shown to clients
    backend: str = ""
    max_batch_size: int = 0  # 0: the model does not batch; tensors carry no batch dimension
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    version_policy: VersionPolicy = field(default_factory=lambda: VersionPolicy(latest=1))
    instance_groups: tuple[InstanceGroup, ...] = ()  # none: as many as suit the backend
    dynamic_batching: BatchPolicy | None = None  # None: every request runs alone
    sequence_batching: SequencePolicy | None = None  # excludes dynamic_batching
    queue_policy: QueuePolicy = field(default_factory=QueuePolicy)
    priorities: Priorities = field(default_factory=Priorities)
    steps: tuple[Step, ...] = ()  # of a pipeline
    parameters: Mapping[str, str] = field(default_factory=dict)
    default_model_filename: str = ""
    decoupled: bool = False
    response_cache: bool = False  # where the server has one
    warm_ups: tuple[WarmUp, ...] = ()  # none: a sample is made up
    warm_up_lengths: tuple[int, ...] = ()  # tokens
    cpu_affinity: tuple[int, ...] = ()  # cores the instances are kept to; empty: any
    execution_timeout_s: float | None = None  # None: the server's; 0: never
    load_timeout_s: float | None = None  # the same
    batch_inputs: tuple[BatchInput, ...] = ()
    batch_outputs: tuple[BatchOutput, ...] = ()
    gpu_accelerators: tuple[Accelerator, ...] = ()  # for instances on a GPU; the first is preferred
    cpu_accelerators: tuple[Accelerator, ...] = ()  # for those on the CPU
    max_inflight_requests: int = 0  # from arrival to answer; 0: any
    graph_level: int = 0  # -1: basic rewrites of the graph, 0: all, 1: extended, 2: none

    @property
    def is_pipeline(self) -> bool:
        return self.platform == Platform.ENSEMBLE.value

    @property
    def label_task(self) -> LabelTask | None:
        """Of a pipeline that labels texts, what its labels are told by."""
        asked = self.parameters.get("task") if self.is_pipeline else None
        return LabelTask(asked) if asked in tuple(LabelTask) else None

    @property
    def instance_count(self) -> int:
        """How many instances the config asks for; 0: as many as suit the backend."""
        return sum(group.count * len(group.devices) for group in self.instance_groups)

    @property
    def reshaped(self) -> ModelConfig:
        """What clients see as the engine sees it, and the other way round; else the same."""
        return replace(
            self,
            inputs=tuple(spec.reshaped for spec in self.inputs),
            outputs=tuple(spec.reshaped for spec in self.outputs),
        )

    def pad(self, input_name: str) -> int:
        """What fills a shorter request's rows of this input up to the longest of the batch."""
        return int(self.parameters.get(f"pad.{input_name}", "0"))

    def input(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.inputs if spec.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.outputs if spec.name == name), None)
