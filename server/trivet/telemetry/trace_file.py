"""Traces as Triton writes them: a JSON array of records that share a trace's id."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

Record = dict[str, object]

log = logging.getLogger(__name__)

_END = b"\n]\n"
_CURE = "make room where --trace-config's file lies"


class TraceFile:
    """Where traces go: one file, or a row of them with `log_frequency` traces each.

    What is in a file is complete JSON after every trace, so that nothing is lost with the process.
    A file that cannot be written, of a full disk say, is told of once until it can be again; the
    traces of that time are lost. What is in the file stays complete, and requests do not fail.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._whole: BinaryIO | None = None  # the file of those without a frequency
        self._written = 0  # bytes of it, without its end
        self._parts: dict[str, list[Record]] = {}  # by whose settings ask for them
        self._traces: dict[str, int] = {}  # in each part
        self._next_part = 0
        self._failed = False

    def write(self, records: Sequence[Record], owner: str, log_frequency: int) -> None:
        """Keep one trace. owner: whose settings they are: a model's name, or "" for all."""
        try:
            if log_frequency:
                self._collect(records, owner, log_frequency)
            else:
                self._append(records)
            self._failed = False
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("trace_not_written", extra={"cause": error.strerror, "cure": _CURE})

    def close(self) -> None:
        """Write what was collected and not yet written."""
        try:
            for owner in list(self._parts):
                self._write_part(owner)
        except OSError as error:
            log.warning("trace_not_written", extra={"cause": error.strerror})
        if self._whole:
            self._whole.close()
            self._whole = None

    def _collect(self, records: Sequence[Record], owner: str, log_frequency: int) -> None:
        self._parts.setdefault(owner, []).extend(records)
        self._traces[owner] = self._traces.get(owner, 0) + 1
        if self._traces[owner] >= log_frequency:
            self._write_part(owner)

    def _append(self, records: Sequence[Record]) -> None:
        if self._whole is None:
            self._whole = self._path.open("wb", buffering=0)
        written = (b",\n" if self._written else b"[\n") + _lines(records)
        try:
            self._whole.seek(self._written)
            _write(self._whole, written + _END)
        except OSError:
            with suppress(OSError):  # as it was; what is given back makes room for the end
                self._whole.truncate(self._written)
                self._whole.seek(self._written)
                _write(self._whole, _END if self._written else b"")
            raise
        self._written += len(written)

    def _write_part(self, owner: str) -> None:
        records = self._parts.pop(owner)
        self._traces.pop(owner)
        path = self._path.with_name(f"{self._path.name}.{self._next_part}")
        self._next_part += 1
        try:
            path.write_bytes(b"[\n" + _lines(records) + _END)
        except OSError:
            path.unlink(missing_ok=True)  # half of it is of no use
            raise


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it: a disk that gets full takes a part first. Raises OSError."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _lines(records: Sequence[Record]) -> bytes:
    return b",\n".join(json.dumps(record, separators=(",", ":")).encode() for record in records)
