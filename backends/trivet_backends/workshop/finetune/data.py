"""Reading what is learned from: CSV, TSV, JSONL, CoNLL and plain lines; errors tell the line.

`read_examples` is the way in. A file is read to its end before it is judged, so that one run tells
of every broken line (of the first twenty, and how many more).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.conll import read_conll
from trivet_backends.workshop.finetune.examples import Example, HeadTask, Plain
from trivet_backends.workshop.finetune.faults import LineFaults
from trivet_backends.workshop.finetune.fields import example_of
from trivet_backends.workshop.finetune.tables import csv_rows, json_rows


class FileFormat(StrEnum):
    """How a file holds its rows; the value is what `--format` says."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    CONLL = "conll"
    LINES = "lines"


_SUFFIXES = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.TSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".conll": FileFormat.CONLL,
    ".bio": FileFormat.CONLL,
    ".iob": FileFormat.CONLL,
    ".txt": FileFormat.LINES,
}
_TABLES = (FileFormat.CSV, FileFormat.TSV, FileFormat.JSONL)
_FORMATS = {
    HeadTask.CLASSIFY: _TABLES,
    HeadTask.MULTI_LABEL: _TABLES,
    HeadTask.REGRESSION: _TABLES,
    HeadTask.NEXT_SENTENCE: _TABLES,
    HeadTask.TAG_TOKENS: (FileFormat.CONLL, FileFormat.JSONL),
    HeadTask.ANSWER: _TABLES,
    HeadTask.FILL_MASK: (*_TABLES, FileFormat.LINES),
}


def read_examples(
    path: Path, task: HeadTask, columns: Columns, format_: FileFormat | None
) -> list[Example]:
    """All rows of a file, in order. format_: None to go by the file's ending.

    Raises InvalidConfig with the line, the fault and the cure of what is broken, and for a file
    without rows.
    """
    format_ = format_ or _format_of(path, task)
    if format_ not in _FORMATS[task]:
        known = ", ".join(_FORMATS[task])
        found, cure = f"is {format_}, which cannot hold such rows", f"give a file in {known}"
        raise InvalidConfig([Fault(path.name, found, cure)])
    text = _text_of(path)
    faults = LineFaults(path.name)
    examples = list(_examples(text, format_, task, columns, faults))
    faults.refuse()
    if not examples:
        raise InvalidConfig([Fault(path.name, "holds no rows", "give a file with examples")])
    return examples


def _examples(
    text: str, format_: FileFormat, task: HeadTask, columns: Columns, faults: LineFaults
) -> Iterator[Example]:
    match format_:
        case FileFormat.CONLL:
            yield from read_conll(text, columns.word_number, columns.tag_number, faults)
            return
        case FileFormat.LINES:
            lines = enumerate(text.split("\n"), 1)
            yield from (Plain(line=line, text=kept) for line, raw in lines if (kept := raw.strip()))
            return
        case FileFormat.JSONL:
            rows = json_rows(text, columns.needed(task), faults)
        case FileFormat.CSV | FileFormat.TSV:
            delimiter = "\t" if format_ is FileFormat.TSV else ","
            rows = csv_rows(text, delimiter, columns.needed(task), faults)
    for line, fields in rows:
        example = example_of(task, line, fields, columns, faults)
        if example is not None:
            yield example


def _format_of(path: Path, task: HeadTask) -> FileFormat:
    format_ = _SUFFIXES.get(path.suffix.lower())
    if format_ is None:
        cure = f"say it with --format: {', '.join(_FORMATS[task])}"
        raise InvalidConfig([Fault(path.name, "its ending does not tell its format", cure)])
    return format_


def _text_of(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        cure = "give the path of a file that can be read"
        raise InvalidConfig([Fault(str(path), f"{error.strerror}", cure)]) from error
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        cure = f"save the file as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 {path.name})"
        found = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise InvalidConfig([Fault(f"{path.name}, line {line:,}", found, cure)]) from error
