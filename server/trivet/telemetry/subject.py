"""What is being answered now: known to the spans that are made of it, and to each line of the log.

A subject is current in the task that answers it and in those that it starts; work that is done for
several, or in a driver's task, keeps the subject beside the request.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextvars import ContextVar

from trivet.request import Stages
from trivet.telemetry.stops import Stop
from trivet.telemetry.w3c import Parent

MAX_ASKED = 128  # requests of models that a call's trace tells one by one


# One request of a call to a model, which is over: model, version, id, when it began and ended on
# the clock, stages, steps, what is said of a failure, and where it was then. A bare tuple: each
# request makes one, and a named one takes six times as long.
Asked = tuple[
    str,
    int,
    str,
    tuple[int, int],
    Stages | None,
    Mapping[str, Stages] | None,
    str | None,
    Sequence[Stop],
]


class Subject:
    """A call, or a message of a stream, from bytes to bytes. Its ids are made when asked for.

    Each request makes one, so all is left out that need not be there from the start.
    """

    __slots__ = ("_ids", "asked", "more", "name", "parent", "started_ns")

    def __init__(self, name: str, parent: Parent | None, started_ns: int) -> None:
        """name: of the method, "inference.GRPCInferenceService/ModelInfer"."""
        self.name = name
        self.parent = parent
        self.started_ns = started_ns
        self.asked: list[Asked] = []
        self.more = 0  # requests beyond MAX_ASKED
        self._ids: tuple[int, int] | None = None

    @property
    def ids(self) -> tuple[int, int]:
        """Of the trace, which is the caller's if it has one, and of the span."""
        if self._ids is None:
            trace_id = self.parent.trace_id if self.parent else random.getrandbits(128) or 1
            self._ids = trace_id, random.getrandbits(64) or 1
        return self._ids

    def note(self, asked: Asked) -> None:
        """A request to a model is over."""
        if len(self.asked) < MAX_ASKED:
            self.asked.append(asked)
        else:
            self.more += 1


_current: ContextVar[Subject | None] = ContextVar("subject", default=None)

current = _current.get
"""The subject of this task; None where nothing is traced."""

make_current = _current.set
"""From now on the subject of this task, and of the tasks that it starts."""


def ids_of(subject: Subject | None) -> Mapping[str, str]:
    """What a line of the log says of its subject."""
    if subject is None:
        return {}
    trace_id, span_id = subject.ids
    return {"trace_id": f"{trace_id:032x}", "span_id": f"{span_id:016x}"}
