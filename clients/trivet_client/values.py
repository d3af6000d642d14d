"""What calls take and give: values, complete and unchanging.

Arrays that come back from a server may be read-only views of the message; copy before writing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
import numpy as np

from trivet_client.errors import TrivetError, error_of

ParameterValue = bool | int | float | str
Parameters = Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one text took. Times in microseconds, by the server's clock."""

    tokens: int  # as the model saw them, [CLS] and [SEP] counted
    truncated: bool  # the text's end was cut off
    queue_us: int
    tokenize_us: int
    compute_us: int  # of the whole batch the text was part of
    windows: int = 1  # that the model saw; more than 1 where a window slid over a long text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding:
    """One text as a vector: float32 [width]."""

    vector: np.ndarray
    cost: Cost
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """Several texts as vectors, in the order asked: float32 [texts, width]."""

    vectors: np.ndarray
    costs: tuple[Cost, ...]
    model: str
    version: int

    def __len__(self) -> int:
        return len(self.costs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One token that may stand in place of a mask. "##" begins one that continues a word."""

    token: str
    token_id: int
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMask:
    """What may stand in place of one mask, the most probable first."""

    position: int  # in tokens; [CLS] is 0
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledText:
    """The masks of one text, from left to right."""

    masks: tuple[FilledMask, ...]
    cost: Cost
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why one request of a stream got no result. The stream itself goes on."""

    code: grpc.StatusCode  # UNKNOWN in `infer_stream`, whose protocol carries the text alone
    message: str

    def error(self) -> TrivetError:
        """The same as an exception, for a caller who wants to raise it."""
        return error_of(self.code, self.message)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InferRequest:
    """One request of `infer_stream`.

    inputs: arrays by name; text as `str`, `bytes` or object arrays of either.
    outputs: names wanted; empty means all.
    request_id: shown in the server's errors; two requests in flight must not share one.
    """

    model: str
    inputs: Mapping[str, np.ndarray]
    version: int | str | None = None  # a number or an alias; None: the latest ready one
    outputs: tuple[str, ...] = ()
    parameters: Parameters = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InferResult:
    """One answer: arrays by name; BYTES are object arrays of `bytes`.

    final: no other answer to this request follows. False only in streams of decoupled models,
    whose last answer may have no outputs.
    """

    model: str
    version: int | None  # None: the server did not say
    request_id: str
    outputs: Mapping[str, np.ndarray]
    parameters: Parameters
    final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetadata:
    """Who answers, and which extensions of the protocol it has."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMetadata:
    """An input or output. shape: with the batch dimension where the model batches; -1 varies."""

    name: str
    datatype: str  # "FP32", "INT64", "BYTES"
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """What a model takes and gives."""

    name: str
    versions: tuple[int, ...]  # those that are ready
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The heart of a model's configuration. `text` is all of it, as config.pbtxt."""

    name: str
    platform: str
    backend: str
    max_batch_size: int  # rows; 0: the model does not batch
    inputs: tuple[TensorMetadata, ...]  # shapes without the batch dimension
    outputs: tuple[TensorMetadata, ...]
    parameters: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """One version in the repository: "READY", "LOADING", "UNLOADING", "UNAVAILABLE", and why."""

    name: str
    version: int | None  # None: the model has no version to speak of
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How often something happened, and how long it took in all."""

    count: int
    ns: int  # nanoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatistics:
    """Batches of one size that were executed since the server started."""

    batch_size: int  # rows
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """What one version of a model did since the server started."""

    name: str
    version: int | None
    last_inference_ms: int  # since 1970; 0: none yet
    inference_count: int  # rows
    execution_count: int  # batches
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    batches: tuple[BatchStatistics, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """What one version of a model computed since it was loaded; 0 if it has no tokens."""

    name: str
    version: int
    tokens: int  # of the requests, padding not counted
    padding_tokens: int  # computed beside them, since the rows of a batch have one length
