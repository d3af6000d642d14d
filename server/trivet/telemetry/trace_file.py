"""Traces as Triton writes them: a JSON array of records that share a trace's id."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

Record = dict[str, object]

log = logging.getLogger(__name__)

_END = b"\n]\n"


class TraceFile:
    """Where traces go: one file, or a row of them with `log_frequency` traces each.

    What is in a file is complete JSON after every trace, so that nothing is lost with the process.
    A file that cannot be written is told of once; requests do not fail of it.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._whole: BinaryIO | None = None  # the file of those without a frequency
        self._parts: dict[str, list[Record]] = {}  # by whose settings ask for them
        self._traces: dict[str, int] = {}  # in each part
        self._next_part = 0
        self._failed = False

    def write(self, records: Sequence[Record], owner: str, log_frequency: int) -> None:
        """Keep one trace. owner: whose settings they are: a model's name, or "" for all."""
        try:
            if not log_frequency:
                self._append(records)
                return
            self._parts.setdefault(owner, []).extend(records)
            self._traces[owner] = self._traces.get(owner, 0) + 1
            if self._traces[owner] >= log_frequency:
                self._write_part(owner)
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("trace_not_written", extra={"cause": error.strerror})

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

    def _append(self, records: Sequence[Record]) -> None:
        begin = b",\n"
        if self._whole is None:
            self._whole = self._path.open("wb", buffering=0)
            begin = b"[\n"
        else:
            self._whole.seek(-len(_END), 2)
        self._whole.write(begin + _lines(records) + _END)

    def _write_part(self, owner: str) -> None:
        records = self._parts.pop(owner)
        self._traces.pop(owner)
        path = self._path.with_name(f"{self._path.name}.{self._next_part}")
        self._next_part += 1
        path.write_bytes(b"[\n" + _lines(records) + _END)


def _lines(records: Sequence[Record]) -> bytes:
    return b",\n".join(json.dumps(record, separators=(",", ":")).encode() for record in records)
