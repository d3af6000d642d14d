"""Reading what is learned from: CSV, TSV, JSONL, CoNLL and plain lines; errors tell the line.

`read_examples` is the way in. A file is read to its end before it is judged, so that one run tells
of every broken line (of the first twenty, and how many more).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.conll import read_conll
from trivet_backends.workshop.finetune.examples import (
    Asked,
    Example,
    HeadTask,
    Labelled,
    Plain,
    Tagged,
)
from trivet_backends.workshop.finetune.faults import LineFaults

Fields = Mapping[str, object]  # of one row, by column
_LONGEST_FIELD = 1 << 24  # characters; csv's own limit of 131,072 would refuse long passages


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
    HeadTask.TAG_TOKENS: (FileFormat.CONLL, FileFormat.JSONL),
    HeadTask.ANSWER: _TABLES,
    HeadTask.FILL_MASK: (*_TABLES, FileFormat.LINES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column of a file holds what. Those of CoNLL are numbered from 1; -1 is the last."""

    text: str = "text"
    pair: str = ""  # "": one text alone
    label: str = "label"
    words: str = "words"
    tags: str = "tags"
    question: str = "question"
    passage: str = "passage"
    answer: str = "answer"
    start: str = "start"  # may be missing: the answer is looked for then
    word_number: int = 1
    tag_number: int = -1

    def needed(self, task: HeadTask) -> dict[str, str]:
        """The columns that a table must have, each with the flag that names another."""
        match task:
            case HeadTask.CLASSIFY:
                pair = {self.pair: "--pair-column"} if self.pair else {}
                return {self.text: "--text-column", **pair, self.label: "--label-column"}
            case HeadTask.TAG_TOKENS:
                return {self.words: "--words-column", self.tags: "--tags-column"}
            case HeadTask.ANSWER:
                return {
                    self.question: "--question-column",
                    self.passage: "--passage-column",
                    self.answer: "--answer-column",
                }
            case HeadTask.FILL_MASK:
                return {self.text: "--text-column"}


def read_examples(
    path: Path, task: HeadTask, columns: Columns, format_: FileFormat | None
) -> list[Example]:
    """All rows of a file, in order. format_: None to go by the file's ending.

    Raises InvalidConfig with the line, the fault and the cure of what is broken, and for a file
    without rows.
    """
    format_ = format_ or _format_of(path)
    if format_ not in _FORMATS[task]:
        known = ", ".join(_FORMATS[task])
        found, cure = f"{task} is not learned from {format_}", f"give a file in {known}"
        raise InvalidConfig([Fault(path.name, found, cure)])
    text = _text_of(path)
    faults = LineFaults(path.name)
    if format_ is FileFormat.CONLL:
        examples: list[Example] = [
            *read_conll(text, columns.word_number, columns.tag_number, faults)
        ]
    elif format_ is FileFormat.LINES:
        lines = enumerate(text.split("\n"), 1)
        examples = [Plain(line=line, text=kept) for line, raw in lines if (kept := raw.strip())]
    else:
        rows = _jsonl if format_ is FileFormat.JSONL else _csv
        delimiter = "\t" if format_ is FileFormat.TSV else ","
        examples = _from_table(rows(text, delimiter, task, columns, faults), task, columns, faults)
    faults.refuse()
    if not examples:
        raise InvalidConfig([Fault(path.name, "holds no rows", "give a file with examples")])
    return examples


def _format_of(path: Path) -> FileFormat:
    format_ = _SUFFIXES.get(path.suffix.lower())
    if format_ is None:
        cure = f"say it with --format: {', '.join(FileFormat)}"
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


def _csv(
    text: str, delimiter: str, task: HeadTask, columns: Columns, faults: LineFaults
) -> Iterator[tuple[int, Fields]]:
    """Each record with the line it begins on. A record that is broken ends the reading."""
    old_limit = csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next(reader, [])
        if not _check_header(header, task, columns, faults):
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


def _check_header(header: list[str], task: HeadTask, columns: Columns, faults: LineFaults) -> bool:
    there = ", ".join(header) or "none"
    for name in sorted({name for name in header if header.count(name) > 1}):
        faults.add(1, f"two columns are named '{name}'", "rename one")
    for column, flag in columns.needed(task).items():
        if column not in header:
            faults.add(1, f"there is no column '{column}'", f"name it with {flag}; there: {there}")
    return not faults


def _jsonl(
    text: str, delimiter: str, task: HeadTask, columns: Columns, faults: LineFaults
) -> Iterator[tuple[int, Fields]]:
    needed = columns.needed(task)
    for line, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            fields = json.loads(raw)
        except ValueError as error:
            faults.add(line, f"is no JSON ({error})", "write one JSON object per line")
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


def _from_table(
    rows: Iterator[tuple[int, Fields]], task: HeadTask, columns: Columns, faults: LineFaults
) -> list[Example]:
    makers: dict[HeadTask, Callable[[int, Fields, Columns, LineFaults], Example | None]] = {
        HeadTask.CLASSIFY: _labelled,
        HeadTask.TAG_TOKENS: _tagged,
        HeadTask.ANSWER: _asked,
        HeadTask.FILL_MASK: _plain,
    }
    made = (makers[task](line, fields, columns, faults) for line, fields in rows)
    return [example for example in made if example is not None]


def _labelled(line: int, fields: Fields, columns: Columns, faults: LineFaults) -> Labelled | None:
    text = _words_of(line, fields, columns.text, faults)
    pair = _words_of(line, fields, columns.pair, faults) if columns.pair else None
    label = _label_of(line, fields[columns.label], columns.label, faults)
    if text is None or label is None or (columns.pair and pair is None):
        return None
    return Labelled(line=line, text=text, pair=pair, label=label)


def _plain(line: int, fields: Fields, columns: Columns, faults: LineFaults) -> Plain | None:
    text = _words_of(line, fields, columns.text, faults)
    return None if text is None else Plain(line=line, text=text)


def _tagged(line: int, fields: Fields, columns: Columns, faults: LineFaults) -> Tagged | None:
    words = _list_of(line, fields[columns.words], columns.words, faults)
    tags = _list_of(line, fields[columns.tags], columns.tags, faults)
    if words is None or tags is None:
        return None
    if len(words) != len(tags):
        faults.add(line, f"has {len(words)} words and {len(tags)} tags", "give each word one tag")
        return None
    return Tagged(line=line, words=words, tags=tags, lines=(line,) * len(words))


def _asked(line: int, fields: Fields, columns: Columns, faults: LineFaults) -> Asked | None:
    question = _words_of(line, fields, columns.question, faults)
    passage = _words_of(line, fields, columns.passage, faults)
    answer = fields[columns.answer]
    answer = "" if answer is None else answer
    if question is None or passage is None:
        return None
    if not isinstance(answer, str):
        faults.add(line, f"'{columns.answer}' is no text", "give a text; an empty one: no answer")
        return None
    if not answer.strip():
        return Asked(line=line, question=question, passage=passage, answer="", start=0)
    start = _start_of(line, fields.get(columns.start), passage, answer, columns.start, faults)
    if start is None:
        return None
    return Asked(line=line, question=question, passage=passage, answer=answer, start=start)


def _start_of(
    line: int, raw: object, passage: str, answer: str, column: str, faults: LineFaults
) -> int | None:
    """Where the answer begins: as the file says, checked, or else where it is found first."""
    if raw is None or raw == "":
        start = passage.find(answer)
        if start < 0:
            faults.add(
                line, "the answer is not in the passage", "copy it from there, letter by letter"
            )
            return None
        return start
    text = str(raw).strip()
    if not text.isdecimal() or isinstance(raw, bool):
        cure = "give the place of the answer's first character, from 0"
        faults.add(line, f"'{column}' is {raw!r}", cure)
        return None
    start = int(text)
    if passage[start : start + len(answer)] != answer:
        cure = "count characters from 0, or leave the column out: the answer is looked for then"
        faults.add(line, f"the passage does not have the answer at character {start}", cure)
        return None
    return start


def _words_of(line: int, fields: Fields, column: str, faults: LineFaults) -> str | None:
    text = fields[column]
    if not isinstance(text, str):
        faults.add(line, f"'{column}' is {_kind(text)}, no text", "give a text")
        return None
    if not text.strip():
        faults.add(line, f"'{column}' is empty", "give a text, or remove the row")
        return None
    return text


def _label_of(line: int, raw: object, column: str, faults: LineFaults) -> str | None:
    """A label is a text or a whole number; true and false are texts."""
    if isinstance(raw, bool | int):
        return str(raw).lower()
    if not isinstance(raw, str):
        faults.add(line, f"'{column}' is {_kind(raw)}, no label", "give a text or a whole number")
        return None
    if not raw.strip():
        faults.add(line, f"'{column}' is empty", "give a label, or remove the row")
        return None
    if len(raw.strip().splitlines()) > 1:
        faults.add(line, f"'{column}' has several lines", "give labels of one line")
        return None
    return raw.strip()


def _list_of(line: int, raw: object, column: str, faults: LineFaults) -> tuple[str, ...] | None:
    if not isinstance(raw, list) or not raw:
        faults.add(line, f"'{column}' is {_kind(raw)}", 'give a list of texts: ["A", "cat"]')
        return None
    if any(not isinstance(part, str) or not part.strip() for part in raw):
        faults.add(line, f"'{column}' holds what is no text, or empty", "give texts only")
        return None
    return tuple(raw)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
    if value is None:
        return "null"
    if value == []:
        return "an empty list"
    return names.get(type(value), "an object" if isinstance(value, dict) else "a text")
