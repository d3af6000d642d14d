"""What a model's process prints, as lines of the server's log."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Mapping

# Below "trivet", so that what clients set by LogSettings holds for it, too.
log = logging.getLogger("trivet.backends.python")

_MARK = "\x1e"  # begins a line of pb_utils.Logger; its level follows
_LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "V": logging.DEBUG}
_LONGEST = 8192  # bytes; a longer line is logged in pieces
_END_S = 1.0  # seconds: processes that the model left behind may hold its output open


class Output:
    """Reads stdout and stderr of one process in a thread of its own, until they are closed."""

    def __init__(self, child: subprocess.Popen[bytes], told: Mapping[str, object]) -> None:
        """told: what each line is logged with."""
        assert child.stdout is not None
        self._stream = child.stdout
        self._told = told
        self._thread = threading.Thread(target=self._read, name="model-output", daemon=True)
        self._thread.start()

    def note(self, text: str) -> None:
        """Log something about the process itself."""
        log.warning("model_process", extra={**self._told, "text": text})

    def close(self) -> None:
        """Wait until what it printed is logged."""
        self._thread.join(_END_S)

    def _read(self) -> None:
        with self._stream:
            while line := self._stream.readline(_LONGEST):
                self._log(line.decode("utf-8", "replace").rstrip("\r\n"))

    def _log(self, text: str) -> None:
        level = logging.INFO
        if text.startswith(_MARK):
            level, text = _LEVELS.get(text[1:2], level), text[2:]
        if text:
            log.log(level, "model_output", extra={**self._told, "text": text})
