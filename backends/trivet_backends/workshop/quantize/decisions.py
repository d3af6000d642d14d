"""A model's outputs as what it says of each row: a vector, or what was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trivet_backends.workshop.finetune.spans import best_span
from trivet_backends.workshop.graph.embed import EMBEDDING
from trivet_backends.workshop.graph.fill_mask import TOKEN_IDS
from trivet_backends.workshop.graph.heads import (
    END_LOGITS,
    LOGITS,
    PROBABILITIES,
    START_LOGITS,
)
from trivet_backends.workshop.heads import Scoring
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize.running import Feeds

TOP = 5  # words for a hidden one
NOWHERE = (0, 0)  # the tokens of an answer that is none

Answers = list[np.ndarray]  # of each sample
Outputs = Mapping[str, np.ndarray]
Decide = Callable[[Outputs, Feeds], Sequence[np.ndarray]]


def decision_of(task: Task, scoring: Scoring) -> Decide:
    """How a batch's outputs become an answer per row.

    embed: float32 [width]. fill_mask: int64 [TOP], the likeliest tokens, best first.
    tag_tokens: int64 [tokens]. answer: int64 [2], first and last token, or NOWHERE.
    next_sentence: int64 [1]. classify: int64 [1]; of several labels per text bool [labels]; of a
    regression float32 [1].
    """
    if task is Task.CLASSIFY:
        return _CLASSIFY[scoring]
    return _DECIDE[task]


def _embedding(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    return list(outputs[EMBEDDING])


def _words(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    return list(outputs[TOKEN_IDS][:, 0, :TOP])


def _tags(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    lengths = feeds["attention_mask"].sum(axis=1)
    decided = outputs[LOGITS].argmax(axis=-1)
    return [row[:length] for row, length in zip(decided, lengths, strict=True)]


def _follows(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    return list(outputs[PROBABILITIES].argmax(axis=1)[:, None])


def _label(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    return list(outputs[LOGITS].argmax(axis=1)[:, None])


def _labels(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    return list(outputs[LOGITS] > 0)  # likelier than not


def _number(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    return list(outputs[LOGITS][:, :1])


def _spans(outputs: Outputs, feeds: Feeds) -> Sequence[np.ndarray]:
    logits = np.stack([outputs[START_LOGITS], outputs[END_LOGITS]], axis=2)
    lengths = feeds["attention_mask"].sum(axis=1)
    found = []
    for row, types, length in zip(logits, feeds["token_type_ids"], lengths, strict=True):
        # Between [CLS] and the last [SEP]; of a question and a passage, the passage.
        inside = np.arange(1, length - 1)
        passage = inside[types[1 : length - 1] == types[length - 1]]
        score, *span = best_span(row, passage)
        found.append(np.array(span if score > 0 else NOWHERE, np.int64))
    return found


_CLASSIFY: Mapping[Scoring, Decide] = {
    Scoring.SOFTMAX: _label,
    Scoring.SIGMOID: _labels,
    Scoring.NONE: _number,
}
_DECIDE: Mapping[Task, Decide] = {
    Task.EMBED: _embedding,
    Task.FILL_MASK: _words,
    Task.TAG_TOKENS: _tags,
    Task.ANSWER: _spans,
    Task.NEXT_SENTENCE: _follows,
}
