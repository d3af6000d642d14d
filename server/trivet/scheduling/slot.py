"""One request waiting for its answer, with what a batch policy needs to know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from trivet.config import BatchOrder, ModelConfig
from trivet.request import InferRequest, InferResponse, Tensors, Timings
from trivet.telemetry.subject import Subject, current


@dataclass(slots=True, eq=False)
class Slot:
    """A place in the queue. `reply` is settled once; a caller who left has cancelled it."""

    request: InferRequest
    rows: int
    length: int
    shape: object
    queued_ns: int
    reply: asyncio.Future[InferResponse]
    timings: Timings = field(default_factory=Timings)
    counted: bool = True  # False: a further part of a request that counts already
    deaths: int = 0  # instances that died while they computed it
    alone: bool = False  # it is tried again by itself, since a batch with it failed
    subject: Subject | None = field(default_factory=current)  # of lines of the log about it
    # The queue's own marks, made when the slot is put in.
    level: int = 0  # of priority; 0 for a model without levels
    expires_ns: int = 0  # when its timeout is over; 0: never
    rank: tuple[int, bool, int] = (0, False, 0)  # level, delayed, arrival: the order of service

    def resolve(self, response: InferResponse) -> None:
        # The caller may have left while we computed; setting a done future would raise
        # InvalidStateError and strand the slots behind this one.
        if not self.reply.done():
            self.reply.set_result(response)

    def reject(self, error: BaseException) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)


Measure = Callable[[Tensors], tuple[int, int, object]]


def measure_of(config: ModelConfig) -> Measure:
    """How requests of this model are measured: inputs -> (rows, length, shape).

    Only what the model's batch policy looks at is computed; the rest is 0 and None.
    """
    if not config.max_batch_size:
        return lambda inputs: (1, 0, None)
    if config.dynamic_batching is None:
        return lambda inputs: (_rows(inputs), 0, None)
    if config.dynamic_batching.order is BatchOrder.EQUAL_SHAPES:
        ragged = frozenset(spec.name for spec in config.inputs if spec.ragged)
        return lambda inputs: (_rows(inputs), 0, _shape(inputs, ragged))
    varying = tuple(
        (spec.name, axis)
        for spec in config.inputs
        for axis, size in enumerate(spec.dims, start=1)
        if size == -1
    )
    return lambda inputs: (_rows(inputs), _longest(inputs, varying), None)


def _rows(inputs: Tensors) -> int:
    return len(next(iter(inputs.values())))


def _shape(inputs: Tensors, ragged: frozenset[str]) -> object:
    """Which inputs there are, and the shape of each but the ragged ones, which may differ."""
    return {name: None if name in ragged else array.shape[1:] for name, array in inputs.items()}


def _longest(inputs: Tensors, varying: tuple[tuple[str, int], ...]) -> int:
    return max((inputs[name].shape[axis] for name, axis in varying if name in inputs), default=0)
