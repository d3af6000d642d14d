"""Log lines for people: an event, and what belongs to it as key=value.

Code logs events, `log.info("model_ready", extra={"model": "embed", "version": 1})`: one line per
event in the life of the server, none per request.
"""

from __future__ import annotations

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    """2026-01-31 12:00:00,000 INFO model_ready model=embed version=1"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        fields = (f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        return " ".join((super().formatMessage(record), *fields))


def log_to_stderr(*, verbose: bool) -> None:
    """Send the server's events to stderr, debug ones too if `verbose`."""
    handler = logging.StreamHandler()
    handler.setFormatter(EventFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("trivet").setLevel(logging.DEBUG if verbose else logging.INFO)
