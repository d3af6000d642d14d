"""The SDK's own log: kept to its last line, since it has one for every try."""

from __future__ import annotations

import logging
import threading

_SHOWN = 200


class LastWord(logging.Handler):
    """What the SDK said last in this thread; nothing of it goes to the log by itself.

    Each kind of data is sent by a thread of its own, and one's failure is not the other's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    @property
    def text(self) -> str:
        return getattr(self._of_thread, "text", "unknown")

    def emit(self, record: logging.LogRecord) -> None:
        self._of_thread.text = record.getMessage()[:_SHOWN]

    def listen(self) -> None:
        """Take over the SDK's log, in the whole process."""
        sdk = logging.getLogger("opentelemetry")
        sdk.handlers[:] = [self]
        sdk.propagate = False
