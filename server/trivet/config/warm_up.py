"""What instances run before a model is ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from trivet.config.tensors import Dims


class WarmUpData(Enum):
    """What the values of a warm-up request's input are."""

    ZERO = "zero"
    RANDOM = "random"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpInput:
    """One input of a warm-up request.

    dims: of one row, without the batch dimension. file: below the model's folder warmup.
    """

    datatype: str
    dims: Dims
    data: WarmUpData
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """A batch that every instance runs before the model is ready."""

    name: str = ""
    batch_size: int = 1  # requests of one row each, all alike
    count: int = 1  # runs
    inputs: Mapping[str, WarmUpInput] = field(default_factory=dict)
