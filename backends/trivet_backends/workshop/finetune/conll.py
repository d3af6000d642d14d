"""CoNLL: a word a line with its columns, an empty line between sentences."""

from __future__ import annotations

from collections.abc import Iterator

from trivet_backends.workshop.finetune.examples import Tagged
from trivet_backends.workshop.finetune.faults import LineFaults

_DOCUMENT = "-DOCSTART-"  # CoNLL 2003 begins a document with it; it is no word


def read_conll(
    text: str, word_number: int, tag_number: int, faults: LineFaults
) -> Iterator[Tagged]:
    """Each sentence. Columns are separated by a tab, or else by blanks, and numbered from 1."""
    sentence: list[tuple[int, str, str]] = []
    columns: int | None = None  # of the first word, and so of all
    for line, raw in enumerate(text.split("\n"), 1):
        fields = raw.split("\t") if "\t" in raw else raw.split()
        fields = [field.strip() for field in fields]
        if not any(fields) or fields[0] == _DOCUMENT:
            yield from _ended(sentence)
            continue
        if columns is None:
            columns = len(fields)
            if not _check_numbers(line, columns, word_number, tag_number, faults):
                return
        if len(fields) != columns:
            found = f"has {len(fields)} of the {columns} columns of the first word"
            faults.add(line, found, "give every word its columns; empty lines end a sentence")
            continue
        word, tag = fields[_place(word_number)], fields[_place(tag_number)]
        if not word or not tag:
            what = "word" if not word else "tag"
            faults.add(line, f"the {what} is empty", "give every word a tag; 'O' is none")
            continue
        sentence.append((line, word, tag))
    yield from _ended(sentence)


def _ended(sentence: list[tuple[int, str, str]]) -> Iterator[Tagged]:
    """The sentence, if there is one; the list is empty afterwards."""
    if sentence:
        lines, words, tags = zip(*sentence, strict=True)
        yield Tagged(line=lines[0], words=words, tags=tags, lines=lines)
        sentence.clear()


def _check_numbers(
    line: int, columns: int, word_number: int, tag_number: int, faults: LineFaults
) -> bool:
    if columns < 2:
        cure = "write a word and its tag on each line, a blank or a tab between them"
        faults.add(line, f"has {columns} column", cure)
        return False
    for flag, number in (("--words-column", word_number), ("--tags-column", tag_number)):
        if not 1 <= abs(number) <= columns:
            cure = f"give {flag} a number from 1 to {columns}, or -1 for the last"
            faults.add(line, f"there is no column {number}", cure)
    return not faults


def _place(number: int) -> int:
    return number - 1 if number > 0 else number
