"""How many copies of a model run, where, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class InstanceKind(Enum):
    """Where the instances of a group run."""

    AUTO = "auto"  # the backend decides
    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceNeed:
    """What an instance takes of a resource while it runs, where the server limits it.

    is_global: there is one pool of it for all devices, instead of one on each.
    """

    name: str
    count: int
    is_global: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGroup:
    """How many copies of the model run, and where.

    count: of each GPU that the group has, or of the CPU.
    gpus: device numbers; empty for a GPU group means every GPU there is.
    priority: among instances that wait for resources; 2 gets half the turns of 1.
    profiles: of a TensorRT engine, those its instances may use; none means the first.
    """

    count: int = 1
    kind: InstanceKind = InstanceKind.AUTO
    gpus: tuple[int, ...] = ()
    resources: tuple[ResourceNeed, ...] = ()
    priority: int = 1
    profiles: tuple[int, ...] = ()

    @property
    def devices(self) -> tuple[int | None, ...]:
        """Where its instances run, `count` on each: GPUs by number; None is the CPU."""
        return self.gpus or (None,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """What an engine hands the parts of a model that it can run faster. parameters: its own."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
