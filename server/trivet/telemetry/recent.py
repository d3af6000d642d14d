"""The last failures that callers were told of, for whoever looks at the server.

Touched from the event loop only. Texts are those that callers were sent, so they name no path of
this machine; they may quote a caller's words, hence the role `observe` of who reads them.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from trivet.errors import Code, ServeError

MAX_KEPT = 50  # kinds of failures; the one that was not seen for longest gives way
_SHOWN = 500  # characters of a text

# A caller who leaves is no failure of the server's, and would push out what is.
_LEFT_OUT = frozenset({Code.OK, Code.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One text that callers of a task were told. last_ms: since the epoch."""

    task: str
    code: Code
    message: str
    count: int
    last_ms: int


class RecentFailures:
    """Those that came last, each kind once with how often it came."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Code, str], Failure] = OrderedDict()

    def note(self, task: str, code: Code, message: str) -> None:
        """One more."""
        if code in _LEFT_OUT:
            return
        shown = message if len(message) <= _SHOWN else message[:_SHOWN] + "…"
        key, now_ms = (task, code, shown), time.time_ns() // 1_000_000
        failure = self._kept.pop(key, None)
        self._kept[key] = (
            replace(failure, count=failure.count + 1, last_ms=now_ms)
            if failure
            else Failure(task=task, code=code, message=shown, count=1, last_ms=now_ms)
        )
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def __iter__(self) -> Iterator[Failure]:
        """The latest first."""
        return iter(tuple(reversed(self._kept.values())))


def told_of(error: BaseException) -> str:
    """What a caller is told; a bug's own text stays in the log."""
    if isinstance(error, ServeError):
        return error.message
    if isinstance(error, asyncio.CancelledError):
        return "the caller's deadline passed"  # of those who left nothing is kept
    return "internal error; the server's log has the details"
