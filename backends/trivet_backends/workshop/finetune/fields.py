"""One row's fields as an example; what cannot be one is a fault with its line and the cure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.examples import (
    FOLLOWS,
    Asked,
    Example,
    HeadTask,
    Labelled,
    MultiLabelled,
    Plain,
    Rated,
    Tagged,
)
from trivet_backends.workshop.finetune.faults import LineFaults
from trivet_backends.workshop.finetune.tables import Fields


def example_of(
    task: HeadTask, line: int, fields: Fields, columns: Columns, faults: LineFaults
) -> Example | None:
    """None for a row that cannot be one; why is among the faults then."""
    return _MAKERS[task](line, fields, columns, faults)


def _labelled(line: int, fields: Fields, columns: Columns, faults: LineFaults) -> Labelled | None:
    texts = _texts_of(line, fields, columns, faults)
    label = _label_of(line, fields[columns.label], columns.label, faults)
    if texts is None or label is None:
        return None
    return Labelled(line=line, text=texts[0], pair=texts[1], label=label)


def _multi_labelled(
    line: int, fields: Fields, columns: Columns, faults: LineFaults
) -> MultiLabelled | None:
    texts = _texts_of(line, fields, columns, faults)
    labels = _labels_of(line, fields[columns.label], columns, faults)
    if texts is None or labels is None:
        return None
    return MultiLabelled(line=line, text=texts[0], pair=texts[1], labels=labels)


def _following(line: int, fields: Fields, columns: Columns, faults: LineFaults) -> Labelled | None:
    row = _labelled(line, fields, columns, faults)
    if row is None or row.label.lower() in FOLLOWS:
        return None if row is None else replace(row, label=row.label.lower())
    cure = "give true if the second text follows on the first, else false"
    faults.add(line, f"'{columns.label}' is '{row.label}'", cure)
    return None


def _rated(line: int, fields: Fields, columns: Columns, faults: LineFaults) -> Rated | None:
    texts = _texts_of(line, fields, columns, faults)
    value = _number_of(line, fields[columns.label], columns.label, faults)
    if texts is None or value is None:
        return None
    return Rated(line=line, text=texts[0], pair=texts[1], value=value)


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


def _texts_of(
    line: int, fields: Fields, columns: Columns, faults: LineFaults
) -> tuple[str, str | None] | None:
    """A text, and the second one of a pair if the rows have pairs."""
    text = _words_of(line, fields, columns.text, faults)
    pair = _words_of(line, fields, columns.pair, faults) if columns.pair else None
    if text is None or (columns.pair and pair is None):
        return None
    return text, pair


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


def _number_of(line: int, raw: object, column: str, faults: LineFaults) -> float | None:
    """A finite number, as JSON or as text."""
    try:
        value = float(raw) if isinstance(raw, int | float | str) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if math.isfinite(value) and not isinstance(raw, bool):
        return value
    shown = raw if isinstance(raw, str) else _kind(raw)
    faults.add(line, f"the label '{shown}' is no number", f"give a number in '{column}', as 3.5")
    return None


def _labels_of(
    line: int, raw: object, columns: Columns, faults: LineFaults
) -> tuple[str, ...] | None:
    """Any number of labels: a list, or a text with separators between; an empty one is none."""
    parts: list[object] = [raw]
    if isinstance(raw, list):
        parts = raw
    elif isinstance(raw, str):
        parts = [*raw.split(columns.separator)] if raw.strip() else []
    found = [_label_of(line, part, columns.label, faults) for part in parts]
    labels = tuple(label for label in found if label is not None)
    if len(labels) < len(found):
        return None
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        faults.add(line, f"'{columns.label}' names '{label}' twice", "name it once")
    return labels


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


_MAKERS: Mapping[HeadTask, Callable[[int, Fields, Columns, LineFaults], Example | None]] = {
    HeadTask.CLASSIFY: _labelled,
    HeadTask.MULTI_LABEL: _multi_labelled,
    HeadTask.REGRESSION: _rated,
    HeadTask.NEXT_SENTENCE: _following,
    HeadTask.TAG_TOKENS: _tagged,
    HeadTask.ANSWER: _asked,
    HeadTask.FILL_MASK: _plain,
}
