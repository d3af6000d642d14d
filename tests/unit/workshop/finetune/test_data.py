"""Reading what is learned from: every format, and every fault with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.errors import InvalidConfig
from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.data import FileFormat, read_examples
from trivet_backends.workshop.finetune.examples import Asked, Example, HeadTask, Labelled, Tagged

CLASSIFY, MULTI, TAG = HeadTask.CLASSIFY, HeadTask.MULTI_LABEL, HeadTask.TAG_TOKENS
ANSWER, FILL = HeadTask.ANSWER, HeadTask.FILL_MASK


def read(
    path: Path,
    text: str | bytes,
    task: HeadTask = CLASSIFY,
    columns: Columns | None = None,
    format_: FileFormat | None = None,
) -> list[Example]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_examples(path, task, columns or Columns(), format_)


def refused(path: Path, text: str | bytes, task: HeadTask = CLASSIFY, **more: object) -> list[str]:
    with pytest.raises(InvalidConfig) as error:
        read(path, text, task, **more)  # type: ignore[arg-type]
    return error.value.message.splitlines()


def test_csv_is_read_with_the_line_each_record_begins_on(tmp_path: Path) -> None:
    text = (
        '\ufefftext,label,more\r\n"two\r\nlines, one field",good,x\r\n\r\n"said ""no""",bad,y\r\n'
    )
    assert read(tmp_path / "a.csv", text) == [
        Labelled(line=2, text="two\nlines, one field", pair=None, label="good"),
        Labelled(line=5, text='said "no"', pair=None, label="bad"),
    ]


def test_pairs_and_columns_of_other_names(tmp_path: Path) -> None:
    columns = Columns(text="premise", pair="hypothesis", label="gold")
    text = "gold\tpremise\thypothesis\nyes\tIt rains.\tIt is wet, too.\n"
    assert read(tmp_path / "a.tsv", text, columns=columns) == [
        Labelled(line=2, text="It rains.", pair="It is wet, too.", label="yes")
    ]


def test_labels_of_json_may_be_numbers_and_truths(tmp_path: Path) -> None:
    text = '{"text": "a", "label": 1}\n\n{"text": "b", "label": true}\n'
    labels = [row.label for row in read(tmp_path / "a.jsonl", text) if isinstance(row, Labelled)]
    assert labels == ["1", "true"]


def test_a_broken_line_7301_is_told_with_its_place_and_the_cure(tmp_path: Path) -> None:
    lines = ["text,label", *(f"text {number},x" for number in range(2, 9000))]
    lines[7300] = "a comma, too many,x"
    assert refused(tmp_path / "rows.csv", "\n".join(lines)) == [
        "rows.csv, line 7,301: has 3 fields, the header 2; "
        'put a field that holds a comma, quote or line end in "..."'
    ]
    rows = [f'{{"text": "text {number}", "label": "x"}}' for number in range(1, 9000)]
    rows[7300] = rows[7300][:-1]
    (told,) = refused(tmp_path / "rows.jsonl", "\n".join(rows))
    assert told == (
        "rows.jsonl, line 7,301: is no JSON (Expecting ',' delimiter at character 35); "
        "write one JSON object per line"
    )
    words = ["a O"] * 9000
    words[7300] = "alone"
    assert refused(tmp_path / "rows.conll", "\n".join(words), TAG) == [
        "rows.conll, line 7,301: has 1 of the 2 columns of the first word; "
        "give every word its columns; empty lines end a sentence"
    ]


def test_an_open_quote_is_told_where_it_opens(tmp_path: Path) -> None:
    (told,) = refused(tmp_path / "a.csv", 'text,label\na,x\n"b,x\nc,x\n')
    assert told.startswith("a.csv, line 3: the record that begins here is no CSV")


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    (told,) = refused(tmp_path / "a.csv", b"text,label\na,x\ncaf\xe9,x\n")
    assert told.startswith("a.csv, line 3: byte 0xe9 is not UTF-8; save the file as UTF-8")


def test_all_faults_are_told_at_once_but_not_without_end(tmp_path: Path) -> None:
    told = refused(tmp_path / "a.csv", "text,label\n" + "a\n" * 50)
    assert len(told) == 21
    assert told[-1] == "a.csv: 30 more faults are not shown; mend these first"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("text,kind\na,x\n", "line 1: there is no column 'label'; name it with --label-column"),
        ("text,text,label\na,b,x\n", "line 1: two columns are named 'text'; rename one"),
        ("text,label\n  ,x\n", "line 2: 'text' is empty; give a text, or remove the row"),
        ("text,label\na,\n", "line 2: 'label' is empty; give a label, or remove the row"),
        ('text,label\na,"x\ny"\n', "line 2: 'label' has several lines"),
        ("text,label\n", "holds no rows; give a file with examples"),
        ("", "line 1: there is no column 'text'"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path / "a.csv", text)[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]\n", "line 1: is no JSON object"),
        ("[" * 100_000 + "\n", "line 1: is no JSON (maximum recursion depth"),
        ('{"text": "a"}\n', "line 1: there is no 'label'; add it, or name another with"),
        ('{"text": 3, "label": "x"}\n', "line 1: 'text' is a number, no text"),
        ('{"text": "a", "label": 1.5}\n', "line 1: 'label' is a number, no label"),
        ('{"text": "a", "label": null}\n', "line 1: 'label' is null, no label"),
    ],
)
def test_what_is_wrong_with_json_lines(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path / "a.jsonl", text)[0]


def test_conll_is_read_by_sentences(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O\n\nAnna NNP B-PER\nsleeps VB O\n\n\nParis NNP B-LOC"
    assert read(tmp_path / "a.conll", text, TAG) == [
        Tagged(line=3, words=("Anna", "sleeps"), tags=("B-PER", "O"), lines=(3, 4)),
        Tagged(line=7, words=("Paris",), tags=("B-LOC",), lines=(7,)),
    ]
    columns = Columns(word_number=1, tag_number=2)
    (first, _) = read(tmp_path / "a.conll", text, TAG, columns)
    assert isinstance(first, Tagged)
    assert first.tags == ("NNP", "VB")


@pytest.mark.parametrize(
    ("text", "columns", "told"),
    [
        ("word\n", Columns(), "line 1: has 1 column; write a word and its tag"),
        ("a\tO\nb\t\n", Columns(), "line 2: the tag is empty"),
        ("a O\n", Columns(tag_number=3), "line 1: there is no column 3; give --tags-column"),
    ],
)
def test_what_is_wrong_with_conll(tmp_path: Path, text: str, columns: Columns, told: str) -> None:
    assert told in refused(tmp_path / "a.conll", text, TAG, columns=columns)[0]


def test_words_and_tags_of_json(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "a.jsonl", '{"words": ["a", "b"], "tags": ["O", "X"]}', TAG)
    assert row == Tagged(line=1, words=("a", "b"), tags=("O", "X"), lines=(1, 1))
    (told,) = refused(tmp_path / "a.jsonl", '{"words": ["a", "b"], "tags": ["O"]}', TAG)
    assert told == "a.jsonl, line 1: has 2 words and 1 tags; give each word one tag"
    (told,) = refused(tmp_path / "a.jsonl", '{"words": ["a"], "tags": []}', TAG)
    assert "'tags' is an empty list" in told


def test_an_answer_is_looked_for_or_checked(tmp_path: Path) -> None:
    text = (
        "question,passage,answer,start\n"
        "Who?,It was Ann and Ann.,Ann,\n"
        "Who?,It was Ann and Ann.,Ann,15\n"
        "Who?,Nobody.,,\n"
    )
    rows = read(tmp_path / "a.csv", text, ANSWER)
    assert [(row.answer, row.start) for row in rows if isinstance(row, Asked)] == [
        ("Ann", 7),
        ("Ann", 15),
        ("", 0),
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("Who?,It was Bob.,Ann,", "line 2: the answer is not in the passage; copy it from there"),
        ("Who?,It was Ann.,Ann,3", "the passage does not have the answer at character 3"),
        ("Who?,It was Ann.,Ann,x", "'start' is 'x'; give the place of the answer's first"),
        ("Who?,,Ann,", "line 2: 'passage' is empty"),
        (",It was Ann.,Ann,", "line 2: 'question' is empty"),
    ],
)
def test_what_is_wrong_with_questions(tmp_path: Path, row: str, told: str) -> None:
    text = f"question,passage,answer,start\n{row}\n"
    assert told in refused(tmp_path / "a.csv", text, ANSWER)[0]


def test_plain_lines_are_texts(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.txt", "one\n\n two \n", FILL)
    assert [(row.line, getattr(row, "text", "")) for row in rows] == [(1, "one"), (3, "two")]


def test_a_format_that_a_task_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    (told,) = refused(tmp_path / "a.txt", "one\n")
    assert told == "a.txt: is lines, which cannot hold such rows; give a file in csv, tsv, jsonl"
    (told,) = refused(tmp_path / "a.data", "one\n")
    assert "its ending does not tell its format; say it with --format: csv, tsv, jsonl" in told
    assert len(read(tmp_path / "b.data", "text,label\na,x\n", format_=FileFormat.CSV)) == 1


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="No such file"):
        read_examples(tmp_path / "none.csv", CLASSIFY, Columns(), None)
