"""Rows that people labelled: read as `trivet finetune` reads them, and judged by the task's metric.

classify: accuracy; of several labels per text micro_f1, of a regression the rank correlation.
tag_tokens: f1 of entities. answer: f1 of words. fill_mask: top_1, of the word that a row's label
names. next_sentence: accuracy. embed: how the cosines of pairs rank, held against their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune import metrics
from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.data import FileFormat, read_examples
from trivet_backends.workshop.finetune.examples import (
    FOLLOWS,
    Asked,
    Example,
    HeadTask,
    Labelled,
    MultiLabelled,
    Rated,
    Tagged,
)
from trivet_backends.workshop.finetune.faults import LineFaults
from trivet_backends.workshop.heads import Scoring
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize import scores
from trivet_backends.workshop.quantize.decisions import NOWHERE, TOP, Answers, decision_of
from trivet_backends.workshop.quantize.judging import Trial
from trivet_backends.workshop.quantize.samples import Sample, Samples
from trivet_backends.workshop.quantize.scores import Score

# What is asked, how good answers are, and which of these numbers counts.
_Exam = tuple[Sequence[Sample], Callable[[Answers], metrics.Scores], str]
_PAIRED = (Task.EMBED, Task.NEXT_SENTENCE)
# As whose rows finetune's readers take the file.
_CLASSES = {
    Scoring.SOFTMAX: HeadTask.CLASSIFY,
    Scoring.SIGMOID: HeadTask.MULTI_LABEL,
    Scoring.NONE: HeadTask.REGRESSION,
}
_READ_AS = {
    Task.EMBED: HeadTask.REGRESSION,
    Task.FILL_MASK: HeadTask.CLASSIFY,
    Task.TAG_TOKENS: HeadTask.TAG_TOKENS,
    Task.ANSWER: HeadTask.ANSWER,
    Task.NEXT_SENTENCE: HeadTask.NEXT_SENTENCE,
}


def read_labelled(
    path: Path, task: Task, scoring: Scoring, columns: Columns, format_: str | None
) -> list[Example]:
    """The rows of a labelled file. Raises InvalidConfig, with the line of what is broken."""
    if task in _PAIRED and not columns.pair:
        cure = "name the column of the second text with --pair-column"
        raise InvalidConfig([Fault("--labelled", f"{task} is judged by pairs of texts", cure)])
    if columns.pair and task not in (*_PAIRED, Task.CLASSIFY):
        raise InvalidConfig([Fault("--pair-column", f"{task} takes no pairs", "leave it out")])
    read_as = _CLASSES[scoring] if task is Task.CLASSIFY else _READ_AS[task]
    return read_examples(path, read_as, columns, FileFormat(format_) if format_ else None)


def trial_of_rows(
    rows: Sequence[Example],
    samples: Samples,
    task: Task,
    scoring: Scoring,
    labels: Sequence[str],
    file: str,
) -> Trial:
    """What `read_labelled` gave. Raises InvalidConfig, by line, for labels that the model lacks."""
    faults = LineFaults(file)
    if task is Task.CLASSIFY:
        exam = _CLASSIFY[scoring](rows, samples, labels, faults)
    else:
        exam = _EXAMS[task](rows, samples, labels, faults)
    faults.refuse()
    made, judge, metric = exam

    def score(source: Answers, found: Answers) -> Score:
        return scores.held_against(judge(source), judge(found), metric)

    return Trial(samples=made, decide=decision_of(task, scoring), score=score, metric=metric)


def _classes(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    plain = [row for row in rows if isinstance(row, Labelled)]
    wanted = np.array([_place(row.label, labels, row.line, faults) for row in plain])

    def judge(answers: Answers) -> metrics.Scores:
        return metrics.classification(wanted, np.concatenate(answers), len(labels))

    return _texts_of(plain, samples), judge, "accuracy"


def _many_labels(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    plain = [row for row in rows if isinstance(row, MultiLabelled)]
    wanted = np.zeros((len(plain), len(labels)), bool)
    for at, row in enumerate(plain):
        for label in row.labels:
            wanted[at, _place(label, labels, row.line, faults)] = True

    def judge(answers: Answers) -> metrics.Scores:
        return metrics.multi_label(wanted, np.stack(answers))

    return _texts_of(plain, samples), judge, "micro_f1"


def _numbers(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    plain = [row for row in rows if isinstance(row, Rated)]
    wanted = np.array([row.value for row in plain])

    def judge(answers: Answers) -> metrics.Scores:
        return metrics.regression(wanted, np.concatenate(answers))

    return _texts_of(plain, samples), judge, "spearman"


def _similarities(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    pairs = [row for row in rows if isinstance(row, Rated)]
    wanted = np.array([row.value for row in pairs])
    made = samples.of_texts([text for row in pairs for text in (row.text, row.pair or "")])

    def judge(answers: Answers) -> metrics.Scores:
        found = scores.cosines(np.stack(answers[0::2]), np.stack(answers[1::2]))
        return {"spearman": metrics.spearman(wanted, found)}

    return made, judge, "spearman"


def _following(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    pairs = [row for row in rows if isinstance(row, Labelled)]
    wanted = np.array([FOLLOWS.index(row.label) for row in pairs])

    def judge(answers: Answers) -> metrics.Scores:
        return metrics.classification(wanted, np.concatenate(answers), len(FOLLOWS))

    return _texts_of(pairs, samples), judge, "accuracy"


def _tags(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    tagged = [row for row in rows if isinstance(row, Tagged)]
    for row in tagged:
        for tag, line in zip(row.tags, row.lines, strict=True):
            _place(tag, labels, line, faults)
    made = samples.of_words([row.words for row in tagged])

    def judge(answers: Answers) -> metrics.Scores:
        wanted, found = [], []
        for row, sample, answer in zip(tagged, made, answers, strict=True):
            # A word is tagged at its first piece; words that were cut off do not count.
            words = sample.encoding.word_ids
            first = {word: place for place, word in reversed([*enumerate(words)])}
            kept = [word for word in range(len(row.tags)) if word in first]
            wanted.append([row.tags[word] for word in kept])
            found.append([labels[int(answer[first[word]])] for word in kept])
        return metrics.tagging(wanted, found)

    return made, judge, "f1"


def _answers(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    asked = [row for row in rows if isinstance(row, Asked)]
    for row in asked:
        if not samples.leaves_room(row.question):
            found = "the question leaves no place for the passage"
            faults.add(row.line, found, "shorten it, or remove the row")
    faults.refuse()  # the tokenizer would refuse all for one, and not say which
    made = samples.of_pairs([(row.question, row.passage) for row in asked], cut="only_second")

    def judge(answers: Answers) -> metrics.Scores:
        found = [
            _text_of(answer, sample, row)
            for answer, sample, row in zip(answers, made, asked, strict=True)
        ]
        return metrics.answering([row.answer for row in asked], found)

    return made, judge, "f1"


def _text_of(answer: np.ndarray, sample: Sample, row: Asked) -> str:
    if tuple(answer) == NOWHERE:
        return ""
    first, last = (sample.encoding.offsets[int(token)] for token in answer)
    return row.passage[first[0] : last[1]]


def _words(
    rows: Sequence[Example], samples: Samples, labels: Sequence[str], faults: LineFaults
) -> _Exam:
    plain = [row for row in rows if isinstance(row, Labelled)]
    made = samples.of_masked([row.text for row in plain])
    wanted = []
    for row, sample in zip(plain, made, strict=True):
        if sample.mask is None:
            mask = samples.mask_token
            found = f"there is not one {mask} among the tokens that the model can take"
            faults.add(row.line, found, f"write {mask} for the word that is hidden")
        wanted.append(samples.token_of(row.label))
        if wanted[-1] is None:
            cure = "give a word of the vocabulary, which is one token"
            faults.add(row.line, f"the label '{row.label}' is no token", cure)

    def judge(answers: Answers) -> metrics.Scores:
        ranks = [
            list(answer).index(word) if word in answer else len(answer)
            for answer, word in zip(answers, wanted, strict=True)
        ]
        return {f"top_{n}": float(np.mean([rank < n for rank in ranks])) for n in (1, TOP)}

    return made, judge, "top_1"


def _texts_of(
    rows: Sequence[Labelled | MultiLabelled | Rated], samples: Samples
) -> Sequence[Sample]:
    pairs = [(row.text, row.pair) for row in rows if row.pair is not None]
    return samples.of_pairs(pairs) if pairs else samples.of_texts([row.text for row in rows])


def _place(label: str, labels: Sequence[str], line: int, faults: LineFaults) -> int:
    if label in labels:
        return labels.index(label)
    faults.add(line, f"there is no label '{label}'", "the model knows " + ", ".join(labels))
    return 0


_Make = Callable[[Sequence[Example], Samples, Sequence[str], LineFaults], _Exam]
_CLASSIFY: Mapping[Scoring, _Make] = {
    Scoring.SOFTMAX: _classes,
    Scoring.SIGMOID: _many_labels,
    Scoring.NONE: _numbers,
}
_EXAMS: Mapping[Task, _Make] = {
    Task.TAG_TOKENS: _tags,
    Task.ANSWER: _answers,
    Task.FILL_MASK: _words,
    Task.NEXT_SENTENCE: _following,
    Task.EMBED: _similarities,
}
