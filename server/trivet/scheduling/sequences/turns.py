"""A request of a sequence in its turn, and a sequence as it goes from turn to turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.request import InferRequest, InferResponse, Tensors, Timings
from trivet.telemetry.subject import Subject, current

SequenceId = int | str
Place = tuple[int, int]  # number within an instance, number of the instance


def sequence_id(request: InferRequest) -> SequenceId:
    """0 or "" for a request of no sequence."""
    return cast(SequenceId, request.parameters.get("sequence_id", 0))


def starts(request: InferRequest) -> bool:
    """Whether its sequence begins with it."""
    return bool(request.parameters.get("sequence_start", False))


@dataclass(slots=True, eq=False)
class Turn:
    """One request of a sequence, waiting for its turn; `reply` is settled once."""

    request: InferRequest
    id: SequenceId
    starts: bool
    ends: bool
    shape: object
    queued_ns: int
    reply: asyncio.Future[InferResponse]
    expires_ns: int | None = None  # when it will have waited too long for its sequence's place
    sequence: Tracked | None = None  # that it has joined
    timings: Timings = field(default_factory=Timings)
    subject: Subject | None = field(default_factory=current)  # of lines of the log about it

    def resolve(self, response: InferResponse) -> None:
        if not self.reply.done():
            self.reply.set_result(response)

    def reject(self, error: BaseException) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)


@dataclass(slots=True, eq=False)
class Tracked:
    """One sequence. `over`: no request of it comes any more; it leaves when the last is answered.

    asked: the version that its first request asked for, as the request named it.
    state: what the model gave for the next request, by the input it comes back as.
    """

    id: SequenceId
    touched_ns: int
    asked: int | str | None = None
    place: Place | None = None
    waiting: deque[Turn] = field(default_factory=deque)
    running: Turn | None = None
    over: bool = False
    state: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        return self.running is None and not self.waiting

    @property
    def turn(self) -> Turn:
        """The request that runs; to be asked only while one does."""
        assert self.running is not None
        return self.running

    @property
    def head(self) -> Turn | None:
        """The request that may run now."""
        return self.waiting[0] if self.waiting and self.running is None else None


def new_turn(
    request: InferRequest,
    config: ModelConfig,
    shape_of: Callable[[Tensors], object],
    now_ns: int,
) -> Turn:
    """The turn that a request waits for. shape_of: what must be equal within a batch.

    Raises InvalidInput for a request of several rows or of no sequence.
    """
    name, parameters = config.name, request.parameters
    if config.max_batch_size and request.rows > 1:
        raise InvalidInput(
            f"inference request to model '{name}' must specify batch-size 1 due to requirements"
            " of sequence batcher; send each row as a request of its own sequence"
        )
    number = sequence_id(request)
    if not number:
        raise InvalidInput(
            f"inference request to model '{name}' must specify a non-zero or non-empty"
            " correlation ID; set sequence_id, and sequence_start on a sequence's first request"
        )
    timeout_us = int(parameters.get("timeout", 0))
    return Turn(
        request=request,
        id=number,
        starts=starts(request),
        ends=bool(parameters.get("sequence_end", False)),
        shape=shape_of(request.inputs),
        queued_ns=now_ns,
        reply=asyncio.get_running_loop().create_future(),
        expires_ns=now_ns + timeout_us * 1_000 if timeout_us > 0 else None,
    )
