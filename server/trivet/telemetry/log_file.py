"""The log in a file, which may lie on a disk that gets full."""

from __future__ import annotations

import logging
import sys


class LogFile(logging.FileHandler):
    """Appends lines. What cannot be written is lost, and stderr is told once until it can be again.

    logging's own way is a traceback on stderr for each line.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="utf-8")
        self._failing = False
        self._failed_now = False

    def emit(self, record: logging.LogRecord) -> None:
        self._failed_now = False
        super().emit(record)
        self._failing = self._failed_now

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's own name)
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._failed_now = True
        if not self._failing and sys.stderr is not None:
            what = f"{self.baseFilename} cannot be written: {error.strerror}"
            print(f"trivet: log: {what}; lines are lost until there is room", file=sys.stderr)
