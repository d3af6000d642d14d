"""Telling a person how training goes: a moving bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

_LINE_EVERY_S = 5.0


class Display(Protocol):
    """What is told, by the main process."""

    def say(self, text: str) -> None:
        """Something to be kept in sight."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """How far `what` is; called often."""


class Silence:
    """The display of every process but the main one."""

    def say(self, text: str) -> None:
        """Nothing."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Nothing."""


class _Lines:
    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done < total and now - self._told.get(what, -_LINE_EVERY_S) < _LINE_EVERY_S:
            return
        self._told[what] = now
        self.say(f"{what} {done:,} of {total:,}{f', {note}' if note else ''}")


class _Bars:
    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, note="")
        self._bars.update(self._tasks[what], completed=done, total=total, note=note)


@contextmanager
def displaying() -> Iterator[Display]:
    """The main process's display, until the block ends; on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars)
