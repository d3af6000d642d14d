"""Log lines: an event, and what belongs to it, as key=value for people or as JSON for machines.

Code logs events, `log.info("model_ready", extra={"model": "embed", "version": 1})`: one line per
event in the life of the server, none per request. A line that is written while a traced request is
answered names its trace. What is let through may change at run time.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from trivet.telemetry.log_file import LogFile
from trivet.telemetry.subject import current, ids_of

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogFormat(Enum):
    """What a line looks like. The values are Triton's names, but for JSON, which it has not."""

    DEFAULT = "default"  # 2026-01-31 12:00:00,000 INFO, in local time
    ISO8601 = "ISO8601"  # 2026-01-31T12:00:00Z INFO, in UTC
    JSON = "json"  # {"time": "2026-01-31T12:00:00.000Z", "level": "INFO", "event": ...}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is logged, where and how. file: empty for stderr; set by the operator alone.

    verbose_level: above 0, what the server decides is logged, too.
    """

    file: str = ""
    info: bool = True
    warning: bool = True
    error: bool = True
    verbose_level: int = 0
    format: LogFormat = LogFormat.DEFAULT


class EventFormatter(logging.Formatter):
    """2026-01-31 12:00:00,000 INFO model_ready model=embed version=1"""

    def __init__(self, log_format: LogFormat = LogFormat.DEFAULT) -> None:
        iso = log_format is LogFormat.ISO8601
        date = "%Y-%m-%dT%H:%M:%SZ" if iso else None
        super().__init__("%(asctime)s %(levelname)s %(message)s", date)
        if iso:
            self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        fields = (f"{key}={value}" for key, value in _fields(record).items())
        return " ".join((super().formatMessage(record), *fields))


class JsonFormatter(logging.Formatter):
    """One object a line, tracebacks within: {"time": ..., "level": ..., "event": ..., ...}"""

    def format(self, record: logging.LogRecord) -> str:
        written = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": written.replace("+00:00", "Z"),
            "level": record.levelname,
            "event": record.getMessage(),
            "logger": record.name,
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """What belongs to an event; of a request, its trace."""
    given = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {**ids_of(current()), **given}


def _formatter(log_format: LogFormat) -> logging.Formatter:
    return JsonFormatter() if log_format is LogFormat.JSON else EventFormatter(log_format)


class Log:
    """The log of this process; its settings may be changed while it is written."""

    def __init__(self, settings: LogSettings | None = None) -> None:
        self.settings = settings or LogSettings()
        self._handler: logging.Handler | None = None

    def start(self) -> None:
        """Send all events where the settings say. Raises OSError if that cannot be written to."""
        file = self.settings.file
        self._handler = LogFile(file) if file else logging.StreamHandler()
        self._handler.addFilter(self._lets_through)
        logging.basicConfig(level=logging.INFO, handlers=[self._handler], force=True)
        self.change(self.settings)

    def change(self, settings: LogSettings) -> None:
        """Let these settings hold from now on; the file stays the one it is."""
        self.settings = settings
        logging.getLogger("trivet").setLevel(
            logging.DEBUG if settings.verbose_level > 0 else logging.INFO
        )
        if self._handler:
            self._handler.setFormatter(_formatter(settings.format))

    def _lets_through(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return self.settings.error
        if record.levelno >= logging.WARNING:
            return self.settings.warning
        return self.settings.info or record.levelno < logging.INFO
