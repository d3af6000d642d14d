"""What a build may be asked for, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Task(StrEnum):
    """What a model answers; the value is the pipeline's usual name."""

    EMBED = "embed"
    FILL_MASK = "fill_mask"
    CLASSIFY = "classify"
    TAG_TOKENS = "tag_tokens"
    ANSWER = "answer"
    NEXT_SENTENCE = "next_sentence"

    @property
    def has_labels(self) -> bool:
        """Whether the checkpoint's head was trained for labels of its own."""
        return self in (Task.CLASSIFY, Task.TAG_TOKENS)


class Precision(StrEnum):
    """How a graph stores its weights and computes."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Format(StrEnum):
    """What engine a graph is written for; the value is what `--to` says."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"

    @property
    def backend(self) -> str:
        """The backend that serves it."""
        return "onnxruntime" if self is Format.ONNX else self.value

    @property
    def file(self) -> str:
        """The version's file that the backend opens."""
        return {Format.OPENVINO: "model.xml", Format.TENSORRT: "model.plan"}.get(self, "model.onnx")


class Pooling(StrEnum):
    """How the token vectors of a row become one."""

    MEAN = "mean"
    CLS = "cls"  # the first token
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """Everything that decides what a graph computes, but its precision."""

    task: Task
    pooling: Pooling = Pooling.MEAN  # embed only
    normalize: bool = True  # embed only: vectors of length one
    hidden_state: bool = False  # embed only: also give out last_hidden_state
    candidates: int = 100  # fill_mask only: tokens per mask, best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a build makes beside its pipeline, see `beside`."""

    similarity: bool = False
    zero_shot: bool = False
    few_shot: bool = False
    tokenize: bool = False
    hidden_states: bool = False  # of every layer, from an encoder of its own
    attentions: bool = False  # attention maps from it, too

    @property
    def looks_inside(self) -> bool:
        """Whether there is such an encoder; one with maps gives out hidden states, too."""
        return self.hidden_states or self.attentions


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What `trivet build` was asked for; None is what the checkpoint itself suggests."""

    name: str | None = None
    pipeline: str | None = None
    task: Task | None = None
    precisions: tuple[Precision, ...] = (Precision.FP32,)  # the pipeline runs the first
    format: Format = Format.ONNX  # of every precision
    pooling: Pooling | None = None
    normalize: bool = True
    hidden_state: bool = False
    candidates: int = 100
    labels: Path | None = None  # a file with one label per line, in place of the checkpoint's
    beside: Beside = field(default_factory=Beside)
