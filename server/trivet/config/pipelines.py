"""Models that are made of other models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class LabelTask(StrEnum):
    """A pipeline that compares vectors of its one step's model; its parameter `task` names it."""

    ZERO_SHOT = "zero_shot"  # labels stand for themselves
    FEW_SHOT = "few_shot"  # each has examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a pipeline: the model it calls and how tensors are named on both sides."""

    model: str
    version: int | None  # None: the latest ready one
    input_map: Mapping[str, str]  # the model's input name -> the pipeline's tensor name
    output_map: Mapping[str, str]  # the model's output name -> the pipeline's tensor name
