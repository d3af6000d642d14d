"""The SDK's own log: kept to its last line, since it has one for every try."""

from __future__ import annotations

import logging
import threading

_SHOWN = 400  # the cause stands at the end

# That it tries no more, which is no cause: the try before told that.
_NO_CAUSE = ("Shutdown in progress", "due to timeout, max retries or shutdown")


class LastWord(logging.Handler):
    """What the SDK said last of a cause in this thread; nothing of it goes to the log by itself.

    Each kind of data is sent by a thread of its own, and one's failure is not the other's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    @property
    def text(self) -> str:
        return getattr(self._of_thread, "text", "unknown")

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()[:_SHOWN]
        if not any(words in said for words in _NO_CAUSE):
            self._of_thread.text = said

    def listen(self) -> None:
        """Take over the SDK's log, in the whole process."""
        sdk = logging.getLogger("opentelemetry")
        sdk.handlers[:] = [self]
        sdk.propagate = False
