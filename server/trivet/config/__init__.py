"""A model's configuration as values: complete and valid, whoever wrote it and however.

The vocabulary is Triton's config.pbtxt. `config_file` reads that format into these classes; `model`
has the whole, each other module a subject.
"""

from trivet.config.batching import BatchOrder, BatchPolicy, Priorities, QueuePolicy, TimeoutAction
from trivet.config.instances import Accelerator, InstanceGroup, InstanceKind, ResourceNeed
from trivet.config.model import ModelConfig, Platform, VersionPolicy
from trivet.config.pipelines import LabelTask, Step
from trivet.config.sequences import (
    Control,
    ControlKind,
    DirectStrategy,
    OldestStrategy,
    SequencePolicy,
    SequenceState,
)
from trivet.config.tensors import BatchInput, BatchInputKind, BatchOutput, Dims, TensorSpec
from trivet.config.warm_up import WarmUp, WarmUpData, WarmUpInput

__all__ = [
    "Accelerator",
    "BatchInput",
    "BatchInputKind",
    "BatchOrder",
    "BatchOutput",
    "BatchPolicy",
    "Control",
    "ControlKind",
    "Dims",
    "DirectStrategy",
    "InstanceGroup",
    "InstanceKind",
    "LabelTask",
    "ModelConfig",
    "OldestStrategy",
    "Platform",
    "Priorities",
    "QueuePolicy",
    "ResourceNeed",
    "SequencePolicy",
    "SequenceState",
    "Step",
    "TensorSpec",
    "TimeoutAction",
    "VersionPolicy",
    "WarmUp",
    "WarmUpData",
    "WarmUpInput",
]
