"""What callers asked and how it ended, by task, of calls and of the messages of streams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

from trivet.clock import Clock
from trivet.errors import Code, ServeError
from trivet.telemetry.histogram import Histogram
from trivet.telemetry.recent import RecentFailures, told_of

CALL, MESSAGE = "call", "message"


class Observed(Protocol):
    """One request under way, from `with` to its end."""

    def failed(self, error: BaseException) -> None:
        """Its answer says so, in-band; what is raised need not be told."""

    def __enter__(self) -> Observed: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Kind:
    """The requests of one task that come one way."""

    __slots__ = ("codes", "now_ns", "recent", "task", "took", "way")

    def __init__(self, task: str, way: str, clock: Clock, recent: RecentFailures) -> None:
        self.now_ns = clock.now_ns
        self.recent = recent
        self.task = task
        self.way = way
        self.codes = [0] * len(Code)  # requests by status
        self.took = Histogram()  # nanoseconds, whatever the status

    def one(self) -> Observed:
        """`with` it, answer a request; what is raised is its status."""
        return _One(self, self.now_ns())

    def over(self, code: int, started_ns: int, error: BaseException | None = None) -> None:
        """Count one that began then. error: what it ended with."""
        self.codes[code] += 1
        if error is not None:
            self.recent.note(self.task, Code(code), told_of(error))
        self.took.add(self.now_ns() - started_ns)


class _One:
    __slots__ = ("_error", "_kind", "_started_ns")

    def __init__(self, kind: Kind, started_ns: int) -> None:
        self._kind = kind
        self._started_ns = started_ns
        self._error: BaseException | None = None

    def failed(self, error: BaseException) -> None:
        self._error = error

    def __enter__(self) -> Observed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = self._error or error
        code = Code.OK if ended is None else code_of(ended)
        self._kind.over(code, self._started_ns, ended)
        self._error = None  # its traceback holds this very frame


class Nowhere:
    """Stands in for a Kind where nothing is counted."""

    def one(self) -> Observed:
        return self

    def failed(self, error: BaseException) -> None:
        pass

    def __enter__(self) -> Observed:
        return self

    def __exit__(self, *ended: object) -> None:
        pass


class Calls:
    """All kinds that there are; a task is made known before its first request.

    recent: what callers were told last of those that failed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.recent = RecentFailures()
        self._kinds: dict[tuple[str, str], Kind] = {}

    def kind(self, task: str, way: str) -> Kind:
        """The counters of a task; look them up once, not for each request."""
        return self._kinds.setdefault((task, way), Kind(task, way, self._clock, self.recent))

    def __iter__(self) -> Iterator[Kind]:
        return iter(tuple(self._kinds.values()))


def code_of(error: BaseException) -> Code:
    """The status that a caller is told."""
    if isinstance(error, ServeError):
        return error.code
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return Code.CANCELLED
    return Code.INTERNAL
