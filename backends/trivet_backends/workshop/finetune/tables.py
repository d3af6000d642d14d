"""CSV, TSV and JSONL as rows of named fields, each with the line it begins on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from trivet_backends.workshop.finetune.faults import LineFaults

Fields = Mapping[str, object]  # of one row, by column
Needed = Mapping[str, str]  # the columns that must be there, each with the flag that names another
_LONGEST_FIELD = 1 << 24  # characters; csv's own limit of 131,072 would refuse long passages


def csv_rows(
    text: str, delimiter: str, needed: Needed, faults: LineFaults
) -> Iterator[tuple[int, Fields]]:
    """Each record with the line it begins on. A record that is broken ends the reading."""
    old_limit = csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next(reader, [])
        if not _check_header(header, needed, faults):
            return
        for record in _counted(reader):
            line, fields = record
            if not fields:
                continue  # an empty line
            if len(fields) == len(header):
                yield line, dict(zip(header, fields, strict=True))
                continue
            found = f"has {len(fields)} fields, the header {len(header)}"
            faults.add(line, found, 'put a field that holds a comma, quote or line end in "..."')
    except csv.Error as error:
        begun = getattr(error, "begun", line)
        cure = 'double every quote within a quoted field ("" for one), and close each that is open'
        faults.add(begun, f"the record that begins here is no CSV ({error})", cure)
    finally:
        csv.field_size_limit(old_limit)


def _counted(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each record and the line it begins on; an error learns that line, too."""
    while True:
        begun = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            vars(error)["begun"] = begun
            raise
        yield begun, fields


def _check_header(header: list[str], needed: Needed, faults: LineFaults) -> bool:
    there = ", ".join(header) or "none"
    for name in sorted({name for name in header if header.count(name) > 1}):
        faults.add(1, f"two columns are named '{name}'", "rename one")
    for column, flag in needed.items():
        if column not in header:
            faults.add(1, f"there is no column '{column}'", f"name it with {flag}; there: {there}")
    return not faults


def json_rows(text: str, needed: Needed, faults: LineFaults) -> Iterator[tuple[int, Fields]]:
    """Each object with its line. An object without a needed field is left out, and a fault."""
    for line, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            fields = json.loads(raw)
        except (ValueError, RecursionError) as error:
            faults.add(line, f"is no JSON ({_reason(error)})", "write one JSON object per line")
            continue
        if not isinstance(fields, dict):
            faults.add(line, "is no JSON object", 'write {"text": ..., "label": ...} per line')
            continue
        missing = [column for column in needed if column not in fields]
        there = ", ".join(map(str, fields)) or "none"
        for column in missing:
            cure = f"add it, or name another with {needed[column]}; there: {there}"
            faults.add(line, f"there is no '{column}'", cure)
        if not missing:
            yield line, fields


def _reason(error: ValueError | RecursionError) -> str:
    """What is wrong with a line of JSON; the decoder's own "line 1" is not the file's."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return str(error)
