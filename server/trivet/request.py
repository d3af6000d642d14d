"""A request and its answer as values, free of any wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np

from trivet.errors import EngineFailed

Tensors = Mapping[str, np.ndarray]
ParameterValue = bool | int | float | str
Parameters = Mapping[str, ParameterValue]

NO_PARAMETERS: Parameters = MappingProxyType({})


@dataclass(slots=True, eq=False)
class BatchRun:
    """One execution, shared by all requests that it answers.

    tokens, padding_tokens: of a batch by length. span: its own, kept here by whoever makes spans.
    """

    requests: int
    rows: int
    tokens: int = 0
    padding_tokens: int = 0
    span: object = None


# Each request makes one of each of the values below. They are NamedTuples because making a frozen
# dataclass takes three times as long.


@dataclass(slots=True)
class Timings:
    """Monotonic nanosecond stamps a request collects on its way; 0 where it did not pass.

    The stages: queued -> taken into a batch -> inputs merged -> computed -> outputs cut. Each is
    stamped once, by the one who does it, and read once, when the request is observed.
    """

    queued_ns: int = 0
    taken_ns: int = 0
    merged_ns: int = 0
    computed_ns: int = 0
    done_ns: int = 0
    batch: BatchRun | None = None


class InferRequest(NamedTuple):
    """One request for one model.

    inputs: arrays of [rows, ...] when the model batches (max_batch_size > 0), else of the model's
    own shape. BYTES are object arrays of `bytes`.
    outputs: names asked for; empty means all. known: what was computed before it came.
    """

    model: str
    inputs: Tensors
    version: int | str | None = None  # or an alias; None: the latest ready one
    id: str = ""
    outputs: tuple[str, ...] = ()
    parameters: Parameters = NO_PARAMETERS
    known: Known | None = None

    @property
    def rows(self) -> int:
        """How many rows each input has, where the model batches."""
        return len(next(iter(self.inputs.values())))

    def with_inputs(self, model: str, version: int | None, inputs: Tensors) -> InferRequest:
        """The same request sent on to another model: id, parameters and what is known go along."""
        return self._replace(model=model, version=version, inputs=inputs, outputs=())


class Known(Protocol):
    """Answers that were computed before their requests came: by a front-end process."""

    def answer(
        self, model: object, inputs: Tensors, parameters: Parameters
    ) -> InferResponse | None:
        """What this load of a model answers to this; None where that is to be computed."""


class Stages(NamedTuple):
    """How long each stage of one answered request took, in nanoseconds.

    queued_ns: when the first began, on the monotonic clock; 0 where it is not known. batch: in
    which it was computed, with others or alone.
    """

    queued_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    batch: BatchRun | None = None

    @property
    def total_ns(self) -> int:
        """From the queue to the answer."""
        return self.queue_ns + self.compute_ns

    @property
    def compute_ns(self) -> int:
        """All but waiting."""
        return self.compute_input_ns + self.compute_infer_ns + self.compute_output_ns

    @classmethod
    def of(cls, t: Timings) -> Stages:
        return cls(
            t.queued_ns,
            t.taken_ns - t.queued_ns,
            t.merged_ns - t.taken_ns,
            t.computed_ns - t.merged_ns,
            t.done_ns - t.computed_ns,
            t.batch,
        )


class InferResponse(NamedTuple):
    """The answer to one request. `steps` holds the stages of a pipeline's members by model name.

    final: no other answer to the request follows. False only for a decoupled model, whose last
    answer need not know that it is the last.
    """

    model: str
    version: int
    outputs: Tensors
    parameters: Parameters = NO_PARAMETERS
    stages: Stages = Stages()
    steps: Mapping[str, Stages] = MappingProxyType({})
    final: bool = True

    def output(self, name: str) -> np.ndarray:
        """One output. Raises EngineFailed if the model left it out."""
        try:
            return self.outputs[name]
        except KeyError:
            said = f"model '{self.model}' gave no output '{name}' to this request"
            raise EngineFailed(said) from None
