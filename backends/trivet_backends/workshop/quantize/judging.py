"""What each task's answers are worth: decisions, vectors, and how both are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.data import FileFormat, read_examples
from trivet_backends.workshop.finetune.examples import Asked, HeadTask, Labelled, Tagged
from trivet_backends.workshop.graph.embed import EMBEDDING
from trivet_backends.workshop.graph.fill_mask import TOKEN_IDS
from trivet_backends.workshop.graph.heads import (
    END_LOGITS,
    LOGITS,
    PROBABILITIES,
    START_LOGITS,
)
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize import scores
from trivet_backends.workshop.quantize.running import Runner
from trivet_backends.workshop.quantize.samples import Batch, Sample, Samples
from trivet_backends.workshop.quantize.scores import Score

Answers = list[np.ndarray]  # of each sample: a vector, or what was decided
Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """What is asked, and how the answers are compared with the source's."""

    samples: Sequence[Sample]
    score: Callable[[Answers, Answers], Score]
    metric: str  # what `kept` is a share of


def answers_of(runner: Runner, task: Task, batches: Sequence[Batch], count: int) -> Answers:
    """The answers to all samples, in their order.

    Per task: embed float32 [width]; fill_mask int64 [1], the likeliest token; classify and
    next_sentence int64 [1]; tag_tokens int64 [tokens]; answer int64 [2], first and last token.
    """
    answers: list[np.ndarray | None] = [None] * count
    for batch in batches:
        decided = _decided(runner.run(batch.feeds), task)
        lengths = batch.feeds["attention_mask"].sum(axis=1)
        for row, length, answer in zip(batch.rows, lengths, decided, strict=True):
            answers[row] = answer[:length] if task is Task.TAG_TOKENS else answer
    return [answer for answer in answers if answer is not None]


def trial_of_texts(texts: Sequence[str], samples: Samples, task: Task) -> Trial:
    """Texts without labels: the source's own answers are what is right."""

    def score(source: Answers, found: Answers) -> Score:
        if task is Task.EMBED:
            return scores.embeddings(np.stack(source), np.stack(found))
        return scores.agreement(source, found, whole=task is Task.ANSWER)

    metric = "cosine and neighbours" if task is Task.EMBED else "agreement"
    return Trial(samples=samples.of_texts(texts), score=score, metric=metric)


def read_labelled(path: Path, task: Task, format_: str | None) -> list[Labelled | Tagged | Asked]:
    """The rows of a labelled file. Raises InvalidConfig, with the line of what is broken."""
    if task not in (Task.CLASSIFY, Task.TAG_TOKENS, Task.ANSWER):
        cure = "leave it out; the variants are compared with the source on --texts"
        raise InvalidConfig([Fault("--labelled", f"{task} has no labels to compare with", cure)])
    examples = read_examples(
        path, HeadTask(task.value), Columns(), FileFormat(format_) if format_ else None
    )
    return [row for row in examples if isinstance(row, Labelled | Tagged | Asked)]


def trial_of_rows(
    rows: Sequence[Labelled | Tagged | Asked], samples: Samples, labels: Sequence[str], file: str
) -> Trial:
    """Labelled rows of one kind. Raises InvalidConfig for a label that the model does not know."""
    tagged = [row for row in rows if isinstance(row, Tagged)]
    asked = [row for row in rows if isinstance(row, Asked)]
    plain = [row for row in rows if isinstance(row, Labelled)]
    if tagged:
        return _tagging(tagged, samples, labels, file)
    if asked:
        return _answering(asked, samples)
    wanted = [_number(row.label, labels, f"{file}, line {row.line:,}") for row in plain]
    pairs = [(row.text, row.pair) for row in plain if row.pair is not None]
    made = samples.of_pairs(pairs) if pairs else samples.of_texts([row.text for row in plain])

    def right(answers: Answers) -> list[bool]:
        return [int(answer[0]) == label for answer, label in zip(answers, wanted, strict=True)]

    return _compared(made, right, "accuracy")


def _tagging(rows: Sequence[Tagged], samples: Samples, labels: Sequence[str], file: str) -> Trial:
    made = samples.of_words([row.words for row in rows])
    wanted = [
        [_number(tag, labels, f"{file}, line {line:,}") for tag, line in _tags(row)] for row in rows
    ]

    def right(answers: Answers) -> list[bool]:
        found = []
        for answer, sample, tags in zip(answers, made, wanted, strict=True):
            # A word is tagged at its first piece; words that were cut off do not count.
            words = sample.encoding.word_ids
            first = {word: place for place, word in reversed([*enumerate(words)])}
            found += [
                int(answer[first[word]]) == tag for word, tag in enumerate(tags) if word in first
            ]
        return found

    return _compared(made, right, "accuracy")


def _tags(row: Tagged) -> list[tuple[str, int]]:
    return list(zip(row.tags, row.lines, strict=True))


def _answering(rows: Sequence[Asked], samples: Samples) -> Trial:
    made = samples.of_pairs([(row.question, row.passage) for row in rows])

    def right(answers: Answers) -> list[bool]:
        return [
            _span(answer, sample, row) == row.answer.strip()
            for answer, sample, row in zip(answers, made, rows, strict=True)
        ]

    return _compared(made, right, "exact_match")


def _span(answer: np.ndarray, sample: Sample, row: Asked) -> str:
    """The text between the first and the last token; nothing where they are none of a passage."""
    first, last = map(int, answer)
    if sample.encoding.sequence_ids[first] != 1 or sample.encoding.sequence_ids[last] != 1:
        return ""
    return row.passage[sample.encoding.offsets[first][0] : sample.encoding.offsets[last][1]].strip()


def _compared(made: Sequence[Sample], right: Callable[[Answers], list[bool]], metric: str) -> Trial:
    def score(source: Answers, found: Answers) -> Score:
        return scores.labelled(right(source), right(found), metric)

    return Trial(samples=made, score=score, metric=metric)


def _number(label: str, labels: Sequence[str], where: str) -> int:
    if label in labels:
        return labels.index(label)
    cure = "the model knows " + ", ".join(labels)
    raise InvalidConfig([Fault(where, f"there is no label '{label}'", cure)])


def _decided(outputs: Outputs, task: Task) -> np.ndarray:
    match task:
        case Task.EMBED:
            return outputs[EMBEDDING]
        case Task.FILL_MASK:
            return outputs[TOKEN_IDS][:, 0, :1]
        case Task.ANSWER:
            ends = [outputs[name].argmax(axis=1) for name in (START_LOGITS, END_LOGITS)]
            return np.stack(ends, axis=1)
        case Task.NEXT_SENTENCE:
            follows: np.ndarray = outputs[PROBABILITIES].argmax(axis=1)
            return follows[:, None]
        case _:
            decided: np.ndarray = outputs[LOGITS].argmax(axis=-1)
            return decided if decided.ndim > 1 else decided[:, None]
