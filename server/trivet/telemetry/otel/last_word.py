"""The SDK's own log: kept to its last line, since it has one for every try."""

from __future__ import annotations

import logging

_SHOWN = 200


class LastWord(logging.Handler):
    """What the SDK said last; nothing of it goes to the log by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.text = "unknown"

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()[:_SHOWN]

    def listen(self) -> None:
        """Take over the SDK's log, in the whole process."""
        sdk = logging.getLogger("opentelemetry")
        sdk.handlers[:] = [self]
        sdk.propagate = False
