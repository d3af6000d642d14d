"""What a front-end process logs and prints, as lines of the owner's log.

Both come through one pipe, which outlives the process: its last words are read, too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import suppress

log = logging.getLogger("trivet.transport")

_MARK = b"\x1e"  # begins a line that is an event; all others are printed
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LONGEST = 256 << 10  # bytes; a longer line is logged in pieces


class ToOwner(logging.Handler):
    """In the front end: writes every event to stderr, as one line."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        told = [record.name, record.levelno, record.getMessage(), fields]
        os.write(2, _MARK + json.dumps(told, default=str).encode() + b"\n")


class Output:
    """In the owner: reads the pipe on its event loop."""

    def __init__(self, pipe: int, pid: int) -> None:
        self._pipe = pipe
        self._pid = pid
        self._line = b""  # what there is of it
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        os.set_blocking(pipe, False)
        self._loop.add_reader(pipe, self._read)

    def close(self) -> None:
        """Of a process that has ended: log what is left."""
        while self._is_open and self._read():
            pass
        self._stop()

    def _read(self) -> bool:
        """Log what has come; whether there may be more."""
        try:
            data = os.read(self._pipe, _LONGEST)
        except BlockingIOError:
            return False
        if not data:
            self._stop()
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._log(line)
        if len(self._line) > _LONGEST:
            self._log(self._line)
            self._line = b""
        return bool(data)

    def _stop(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._pipe)
            self._log(self._line)

    def _log(self, line: bytes) -> None:
        if line.startswith(_MARK):
            with suppress(ValueError, TypeError):  # else it was cut, and is told as it is
                name, level, event, fields = json.loads(line[1:])
                logging.getLogger(name).log(level, event, extra=fields)
                return
        if text := line.decode("utf-8", "replace").strip():
            extra = {"frontend_process": self._pid, "text": text}
            log.info("frontend_process_output", extra=extra)
