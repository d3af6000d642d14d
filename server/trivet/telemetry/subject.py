"""What is being answered now: known to the spans that are made of it, and to each line of the log.

A subject is current in the task that answers it and in those that it starts; work that is done for
several, or in a driver's task, keeps the subject beside the request.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from trivet.request import Stages
from trivet.telemetry.w3c import Parent

MAX_ASKED = 128  # requests of models that a call's trace tells one by one


@dataclass(slots=True)
class Asked:
    """One request of a call to a model. Times are the clock's; 0: not over.

    error: what its caller was told; None if it was answered, or left.
    """

    model: str
    request_id: str
    started_ns: int
    version: int = 0
    ended_ns: int = 0
    stages: Stages | None = None
    steps: Mapping[str, Stages] | None = None
    error: str | None = None


class Subject:
    """A call, or a message of a stream, from bytes to bytes. Its ids are made when asked for."""

    __slots__ = ("_span_id", "_trace_id", "asked", "more", "name", "parent", "started_ns")

    def __init__(self, name: str, parent: Parent | None, started_ns: int) -> None:
        """name: of the method, "inference.GRPCInferenceService/ModelInfer"."""
        self.name = name
        self.parent = parent
        self.started_ns = started_ns
        self.asked: list[Asked] = []
        self.more = 0  # requests beyond MAX_ASKED
        self._trace_id = parent.trace_id if parent else 0
        self._span_id = 0

    @property
    def trace_id(self) -> int:
        if not self._trace_id:
            self._trace_id = random.getrandbits(128) or 1
        return self._trace_id

    @property
    def span_id(self) -> int:
        if not self._span_id:
            self._span_id = random.getrandbits(64) or 1
        return self._span_id


_current: ContextVar[Subject | None] = ContextVar("subject", default=None)

current = _current.get
"""The subject of this task; None where nothing is traced."""

make_current = _current.set
"""From now on the subject of this task, and of the tasks that it starts."""


def ids_of(subject: Subject | None) -> Mapping[str, str]:
    """What a line of the log says of its subject."""
    if subject is None:
        return {}
    return {"trace_id": f"{subject.trace_id:032x}", "span_id": f"{subject.span_id:016x}"}
