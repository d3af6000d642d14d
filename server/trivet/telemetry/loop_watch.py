"""Whether the event loop still comes round, told by a thread beside it.

Whatever the loop runs itself keeps all callers waiting, health and metrics too: an instance that
is quick (`QuickInstance`), a tokenizer in it, a fault of ours. Nothing in the loop could tell. A
thread cannot end it, but can say where it is. It takes the interpreter to look, so native code that
holds that without giving it back is not told of.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from traceback import extract_stack

from trivet.clock import Clock

log = logging.getLogger(__name__)

LIMIT_S = 5.0  # a busy loop comes round within milliseconds
_LOOKS = 5  # within the limit
_FRAMES = 12  # of the stack that is told


class News(Enum):
    """What is to be told; each once."""

    BLOCKED = "blocked"
    FREE = "free"


class Rounds:
    """When the loop came round last: noted by the loop, looked at by a thread."""

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._now_ns = clock.now_ns
        self._limit_ns = int(limit_s * 1e9)
        self._noted_ns = self._looked_ns = self._from_ns = self._now_ns()
        self._is_told = False
        self.silent_s = 0.0  # for how long it did not come round, at the last look

    def note(self) -> None:
        """The loop has come round."""
        self._noted_ns = self._now_ns()

    def look(self) -> News | None:
        """Whether it still does; call it `_LOOKS` times within the limit."""
        now_ns, noted_ns = self._now_ns(), self._noted_ns
        if now_ns - self._looked_ns > 2 * self._limit_ns // _LOOKS:
            self._from_ns = now_ns  # who looks was held up, too: the process was, or the machine
        self._looked_ns = now_ns
        if self._is_told and noted_ns > self._from_ns:
            self._is_told = False
            return News.FREE
        silent_ns = now_ns - max(noted_ns, self._from_ns)
        self.silent_s = silent_ns / 1e9
        if self._is_told or silent_ns < self._limit_ns:
            return None
        self._is_told, self._from_ns = True, noted_ns
        return News.BLOCKED


@contextmanager
def loop_watched(clock: Clock, limit_s: float = LIMIT_S) -> Iterator[None]:
    """Tell in the log when this thread's loop does not come round for so long, until the end."""
    loop, rounds, over = asyncio.get_running_loop(), Rounds(clock, limit_s), threading.Event()
    every_s, ident = limit_s / _LOOKS, threading.get_ident()

    def note() -> None:
        rounds.note()
        if not over.is_set():
            loop.call_later(every_s, note)

    def watch() -> None:
        while not over.wait(every_s):
            match rounds.look():
                case News.BLOCKED:
                    extra = {"blocked_s": round(rounds.silent_s, 1), "where": _place(ident)}
                    log.error("event_loop_blocked", extra=extra)
                case News.FREE:
                    log.info("event_loop_free")

    note()
    watching = threading.Thread(target=watch, name="loop watch", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _place(ident: int) -> str:
    """Where a thread is, innermost first: "encode (tokenizer.py:17) < execute (...)"."""
    frame = sys._current_frames().get(ident)  # the documented way to see another thread's stack
    stack = extract_stack(frame) if frame else []
    told = [f"{each.name} ({Path(each.filename).name}:{each.lineno})" for each in stack]
    return " < ".join(reversed(told[-_FRAMES:]))
