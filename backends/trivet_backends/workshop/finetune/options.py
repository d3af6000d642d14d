"""What `trivet finetune` was asked for, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from trivet_backends.workshop.build_file import Json
from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.data import FileFormat
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.options import Pooling


class MixedPrecision(StrEnum):
    """In what the matrices are multiplied; weights stay in FP32."""

    NO = "no"
    BF16 = "bf16"
    FP16 = "fp16"  # GPUs only


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Where examples come from."""

    training: Path
    validation: Path | None = None  # None: a share of the training rows
    validation_share: float = 0.1
    format: FileFormat | None = None
    columns: Columns = field(default_factory=Columns)
    labels: tuple[str, ...] = ()  # (): those of the training rows, sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How it is learned. The same options and data give the same weights on the same machine."""

    unfreeze: bool
    epochs: int
    batch_size: int  # rows, over all processes
    rate: float  # peak learning rate of a new head
    encoder_rate: float  # of the encoder, where it learns
    max_tokens: int | None  # of a row; None: what is usual, or what the model takes
    accumulation: int = 1  # batches per step
    weight_decay: float = 0.01
    warm_up: float = 0.1  # share of all steps
    dropout: float | None = None  # before the head; None: as config.json says
    clip: float = 1.0  # longest gradient
    balance: bool = False  # weigh rare labels up
    seed: int = 0
    precision: MixedPrecision = MixedPrecision.NO
    evaluate_every: int = 0  # steps; 0: after each epoch
    checkpoint_every: int = 0  # steps; 0: with each evaluation
    patience: int = 3  # evaluations without a better one until it ends; 0: never
    use_gpu: bool = True  # where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """Where features are kept between runs, and how much of them."""

    folder: Path
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """Where the best model goes."""

    repository: Path
    name: str
    pipeline: str | None
    precision: str = "fp32"
    format: str = "onnx"
    at_least: float | None = None  # score; None: whatever it is


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneOptions:
    """Everything."""

    checkpoint: Path
    task: HeadTask
    pooling: Pooling  # of classify and multi_label: CLS or MEAN
    layers: int | None  # of the encoder, from the first; None: all
    data: DataOptions
    loop: LoopOptions
    output: Path
    cache: CacheOptions
    resume: bool = False
    publish: PublishOptions | None = None

    def decisive(self) -> dict[str, Json]:
        """All that decides the weights but the files' content: two runs of these are the same."""
        data = asdict(self.data)
        columns: Mapping[str, Json] = data.pop("columns")
        data.pop("training"), data.pop("validation")
        return {
            "task": self.task,
            "pooling": self.pooling,
            "layers": self.layers,
            **data,
            **columns,
            **asdict(self.loop),
        }
