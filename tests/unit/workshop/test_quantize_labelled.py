"""`trivet quantize --labelled` for every task: on heads that were trained for it, and faults."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.harness.finetune import needs_finetune, trained, write_asked, write_tagged
from tests.harness.head_checkpoints import write_head_checkpoint
from tests.unit.workshop.checkpoints import write_checkpoint
from trivet.cli import main as trivet
from trivet_backends.workshop.heads import Scoring
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize.decisions import NOWHERE, decision_of

QUICK = ("--variants", "onnx-fp16", "--rounds", "1", "--lengths", "8", "--publish", "none")
Heads = Callable[[str, Path], Path]


def details(checkpoint: Path, rows: Path, *flags: str, kept: float = 0.0) -> dict[str, float]:
    """What the FP16 variant scores on the rows; it must keep a share of the source's score."""
    numbers = rows.with_name("numbers.json")
    typed = ["quantize", str(checkpoint), "--labelled", str(rows), "--json", str(numbers), *QUICK]
    assert trivet([*typed, *flags, "--min-accuracy", str(kept)]) == 0
    told = {entry["variant"]: entry for entry in json.loads(numbers.read_text())["variants"]}
    found: dict[str, float] = told["onnx-fp16"]["score"]["details"]
    return found


def refused(
    checkpoint: Path, rows: Path, capsys: pytest.CaptureFixture[str], *flags: str
) -> list[str]:
    typed = ["quantize", str(checkpoint), "--labelled", str(rows), *QUICK, *flags]
    assert trivet(typed) == 2
    told = capsys.readouterr().err.splitlines()
    return [line for line in told if "; " in line]


def write_csv(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    """A tiny encoder with the head of a task, trained on rows of such a file."""
    folder = tmp_path_factory.mktemp("heads")
    source = write_checkpoint(folder / "tiny")

    def head(task: str, rows: Path) -> Path:
        places = [f"--train={rows}", f"--output={folder / task}", f"--cache={folder / 'cache'}"]
        rates = ["--unfreeze", "--learning-rate=0.01", "--encoder-learning-rate=0.003"]
        still = ["--dropout=0", "--epochs=8", "--patience=0"]
        assert trained(source, f"--task={task}", *places, *rates, *still) == 0
        return folder / task / "checkpoint"

    return head


@pytest.mark.slow
@needs_finetune
def test_tags_are_judged_by_entities(heads: Heads, tmp_path: Path) -> None:
    checkpoint = heads("tag_tokens", write_tagged(tmp_path / "train.conll", 120))
    calibrated = "--variants=onnx-fp16,onnx-int8-static"  # on some of the rows themselves
    rows = write_tagged(tmp_path / "new.conll", 80, seed=1)
    found = details(checkpoint, rows, calibrated, kept=0.95)
    assert found["source_f1"] > 0.8
    assert found["f1"] > 0.8
    assert found["accuracy"] > 0.8


@pytest.mark.slow
@needs_finetune
def test_answers_are_judged_by_words(heads: Heads, tmp_path: Path) -> None:
    checkpoint = heads("answer", write_asked(tmp_path / "train.jsonl", 240))
    found = details(checkpoint, write_asked(tmp_path / "new.jsonl", 80, seed=1), kept=0.95)
    assert found["source_f1"] > 0.4  # letters of six words in a tiny encoder
    assert set(found) == {"f1", "source_f1", "exact_match"}


@pytest.mark.slow
@needs_finetune
def test_a_hidden_word_is_judged_by_the_label(heads: Heads, tmp_path: Path) -> None:
    """Texts of one letter each, so what is hidden can be told from the rest."""
    texts = [(" ".join(letter * 6),) for letter in "abcdef" * 20]
    checkpoint = heads("fill_mask", write_csv(tmp_path / "train.csv", ("text",), *texts))
    rows = [(f"{c} {c} [MASK] {c} {c}", c) for c in "abcdef" * 6]
    new = write_csv(tmp_path / "new.csv", ("text", "label"), *rows)
    found = details(checkpoint, new, kept=0.95)
    assert found["source_top_1"] > 0.5
    assert found["top_5"] >= found["top_1"] > 0.5


@pytest.mark.slow
@needs_finetune
def test_several_labels_of_pairs_are_judged_by_all_choices(heads: Heads, tmp_path: Path) -> None:
    def rows(path: Path, count: int, seed: int) -> Path:
        rng, made = np.random.default_rng(seed), []
        for _ in range(count):
            kinds = [kind for kind in ("abc", "xyz") if rng.random() < 0.6]
            letters = [" ".join(rng.choice(list(kind), 3)) for kind in kinds] or ["m"]
            made.append((letters[0], letters[-1], "|".join(kind[0] for kind in kinds)))
        return write_csv(path, ("text", "other", "label"), *made)

    folder = heads("multi_label", rows(tmp_path / "train.csv", 160, 0))
    found = details(folder, rows(tmp_path / "new.csv", 80, 1), "--pair-column=other", kept=0.95)
    assert found["source_micro_f1"] > 0.6
    assert {"exact_match", "macro_f1", "micro_f1"} < found.keys()


def test_embeddings_are_judged_by_how_pairs_rank(embed_checkpoint: Path, tmp_path: Path) -> None:
    rows = [("a cat", "a cat", "5"), ("a cat", "a hat", "2.5"), ("a cat", "dog in fog?", "0")]
    pairs = write_csv(tmp_path / "pairs.csv", ("text", "other", "label"), *rows)
    found = details(embed_checkpoint, pairs, "--pair-column", "other", kept=0.9)
    assert found["source_spearman"] == pytest.approx(1)


def test_pairs_are_judged_by_whether_one_follows(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "next", Task.NEXT_SENTENCE)
    rows = [("the cat", "sat", "true"), ("the cat", "paris", "false")] * 3
    pairs = write_csv(tmp_path / "pairs.csv", ("a", "b", "label"), *rows)
    found = details(checkpoint, pairs, "--text-column=a", "--pair-column=b")
    assert 0 <= found["accuracy"] == found["source_accuracy"]


def test_pairs_of_a_classifier_are_read_from_their_columns(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "mood", Task.CLASSIFY)
    rows = [("the cat", "sat", "negative"), ("ada", "paris", "positive")] * 3
    pairs = write_csv(tmp_path / "pairs.csv", ("premise", "claim", "gold"), *rows)
    columns = ("--text-column=premise", "--pair-column=claim", "--label-column=gold")
    assert "source_accuracy" in details(checkpoint, pairs, *columns)


def test_a_regression_is_judged_by_ranks(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(
        tmp_path / "stars", Task.CLASSIFY, ["stars"], problem_type="regression"
    )
    rows = [("the cat", "1"), ("ada love", "2.5"), ("paris", "4")]
    found = details(checkpoint, write_csv(tmp_path / "rows.csv", ("text", "label"), *rows))
    assert -1 <= found["source_spearman"] == found["spearman"] <= 1


def test_what_cannot_be_judged_is_told_with_its_line(
    fill_mask_checkpoint: Path,
    embed_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("a [MASK] c", "b"), ("no hidden word", "b"), ("a [MASK] c", "longer")]
    file = write_csv(tmp_path / "a.csv", ("text", "label"), *rows)
    hidden, long = refused(fill_mask_checkpoint, file, capsys)
    assert "a.csv, line 3: there is not one [MASK] among the tokens" in hidden
    assert "a.csv, line 4: the label 'longer' is no token; give a word of the vocab" in long
    pairs = write_csv(tmp_path / "p.csv", ("text", "other", "label"), ("a", "b", "nan"))
    (told,) = refused(embed_checkpoint, pairs, capsys, "--pair-column=other")
    assert "p.csv, line 2: the label 'nan' is no number; give a number" in told
    (told,) = refused(fill_mask_checkpoint, file, capsys, "--pair-column=other")
    assert "--pair-column: fill_mask takes no pairs; leave it out" in told

    tagger = write_head_checkpoint(tmp_path / "tags", Task.TAG_TOKENS)
    (tmp_path / "a.conll").write_text("ada B-PER\nsat O\n\nparis B-CITY\n")
    (told,) = refused(tagger, tmp_path / "a.conll", capsys)
    assert "a.conll, line 4: there is no label 'B-CITY'; the model knows O, B-PER" in told

    reader = write_head_checkpoint(tmp_path / "answers", Task.ANSWER)
    rows = [("who", "ada sat", "ada"), ("the cat " * 40, "ada sat", "ada")]
    file = write_csv(tmp_path / "asked.csv", ("question", "passage", "answer"), *rows)
    (told,) = refused(reader, file, capsys)
    assert "asked.csv, line 3: the question leaves no place for the passage" in told


def test_the_answer_is_the_likeliest_span_of_the_passage_or_none() -> None:
    """Where the likeliest end stands before the likeliest begin there is no text between."""
    decide = decision_of(Task.ANSWER, Scoring.SOFTMAX)
    # [CLS] who [SEP] it was ann [SEP] [PAD]
    types, mask = np.array([[0, 0, 0, 1, 1, 1, 1, 0]]), np.array([[1, 1, 1, 1, 1, 1, 1, 0]])
    feeds = {"token_type_ids": types, "attention_mask": mask}
    start = np.array([[0, 9, 9, 1, 2, 3, 9, 9]], np.float32)
    end = np.array([[0, 9, 9, 4, 1, 2, 9, 9]], np.float32)
    spans = [tuple(decide({"start_logits": start, "end_logits": end}, feeds)[0])]
    start[0, 0] = 9
    spans += [tuple(decide({"start_logits": start, "end_logits": end}, feeds)[0])]
    assert spans == [(3, 3), NOWHERE]


def test_scores_above_a_half_are_labels_where_a_text_may_have_several() -> None:
    decide = decision_of(Task.CLASSIFY, Scoring.SIGMOID)
    (found,) = decide({"logits": np.array([[-0.1, 0.1, 5]])}, {})
    assert found.tolist() == [False, True, True]
