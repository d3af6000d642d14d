"""How far a request that failed had come: told where it waited, read by whoever traces it.

An answer brings its Stages; a failure has no place for them, and may be shared by many requests.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class Stop(NamedTuple):
    """The end of one stay with a model, in nanoseconds of the monotonic clock.

    taken_ns: when an instance took it; 0: it ended while it was queued.
    """

    model: str
    queued_ns: int
    taken_ns: int
    ended_ns: int


_stops: ContextVar[list[Stop] | None] = ContextVar("stops", default=None)


def listen() -> list[Stop]:
    """Where what fails of this task's next request, and of tasks that it starts, is told."""
    stops: list[Stop] = []
    _stops.set(stops)
    return stops


def stopped(model: str, queued_ns: int, taken_ns: int, ended_ns: int) -> None:
    """A request of this task failed with this model; nothing happens if nobody listens."""
    stops = _stops.get()
    if stops is not None:
        stops.append(Stop(model, queued_ns, taken_ns, ended_ns))
