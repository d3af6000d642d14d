"""The last failures that callers were told of, for whoever looks at the server.

Touched from the event loop only. Texts are those that callers were sent, so they name no path of
this machine; they may quote a caller's words, hence the role `observe` of who reads them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from trivet.errors import Code, ServeError

MAX_KEPT = 50  # kinds of failures
_SHOWN = 500  # characters of a text

# What differs among texts of one kind: numbers, and words of the caller's.
_VARIES = re.compile(r"'[^']*'|[0-9]+")

# A caller who leaves is no failure of the server's, and would push out what is.
_LEFT_OUT = frozenset({Code.OK, Code.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One kind of text that callers of a task were told; message, last_ms: of the last (epoch)."""

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
        key, now_ms = (task, code, _VARIES.sub("", shown)), time.time_ns() // 1_000_000
        before = self._kept.pop(key, None)
        count = before.count + 1 if before else 1
        self._kept[key] = Failure(task=task, code=code, message=shown, count=count, last_ms=now_ms)
        if len(self._kept) > MAX_KEPT:
            self._make_room()

    def _make_room(self) -> None:
        """Of the status with the most kinds, the one that was not seen for longest goes.

        So who is refused in ever new words pushes out others' refusals of that status alone.
        """
        ((most, _),) = Counter(code for _, code, _ in self._kept).most_common(1)
        del self._kept[next(key for key in self._kept if key[1] is most)]

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
