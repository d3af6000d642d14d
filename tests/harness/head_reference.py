"""What models with a head should answer, in the plainest words: loops over every token and span.

The logits come from a callable, so that plain numpy and transformers are held to the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.numpy_bert import NumpyBert
from trivet_backends.workshop.options import Task

needs_transformers = pytest.mark.skipif(
    find_spec("transformers") is None or find_spec("torch") is None,
    reason="needs transformers, of the extra 'finetune'; `make test-all` installs it",
)

# input_ids, attention_mask, token_type_ids [1, tokens] -> the head's numbers of that row
Logits = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Found:
    """A span: characters of the text, and how sure."""

    label: str  # "" of an answer
    start: int
    end: int
    score: float


def numpy_logits(checkpoint: Path, task: Task) -> Logits:
    """The head by trivet's own plain numpy."""
    read = read_checkpoint(checkpoint, task)
    bert = NumpyBert(read.config, read.weights())

    def logits(ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> np.ndarray:
        row: np.ndarray = bert.head_logits(task, ids, mask, types)[0]
        return row

    return logits


def transformers_logits(checkpoint: Path, task: Task) -> Logits:
    """The head by transformers in FP32. For answer, begin and end are the last axis."""
    import torch
    import transformers

    kind = {
        Task.CLASSIFY: transformers.BertForSequenceClassification,
        Task.TAG_TOKENS: transformers.BertForTokenClassification,
        Task.ANSWER: transformers.BertForQuestionAnswering,
        Task.NEXT_SENTENCE: transformers.BertForNextSentencePrediction,
    }[task]
    model = kind.from_pretrained(checkpoint).eval()

    def logits(ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> np.ndarray:
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        with torch.no_grad():
            told = model(**{name: torch.from_numpy(array) for name, array in given.items()})
        if task is Task.ANSWER:
            return np.stack([told.start_logits[0].numpy(), told.end_logits[0].numpy()], axis=1)
        row: np.ndarray = told.logits[0].numpy()
        return row

    return logits


def tokenizer_of(checkpoint: Path) -> tokenizers.Tokenizer:
    """The checkpoint's tokenizer, for this thread alone."""
    return tokenizers.Tokenizer.from_file(str(checkpoint / "tokenizer.json"))


def of_row(logits: Logits, encoding: tokenizers.Encoding) -> np.ndarray:
    """The head's numbers for one encoding."""
    ids, mask, types = encoding.ids, encoding.attention_mask, encoding.type_ids
    return logits(*(np.array([values], np.int64) for values in (ids, mask, types)))


def softmax(row: Sequence[float]) -> list[float]:
    """Shares of 1."""
    shares = [math.exp(value) for value in row]
    return [share / sum(shares) for share in shares]


def spans_of(
    logits: Logits, encoding: tokenizers.Encoding, labels: Sequence[str], aggregation: str
) -> list[Found]:
    """The labelled spans of one text that fits, as transformers' pipeline finds them."""
    rows = of_row(logits, encoding)
    words: list[list[tuple[list[float], int, int]]] = []
    last = None
    for place, word in enumerate(encoding.word_ids):
        if word is None:
            continue
        begin, end = encoding.offsets[place]
        if word != last or aggregation in ("none", "simple"):
            words.append([])
        words[-1].append((softmax(rows[place].tolist()), begin, end))
        last = word
    found = []
    for pieces in words:
        scores = _word_scores([piece[0] for piece in pieces], aggregation)
        best = max(range(len(labels)), key=scores.__getitem__)
        found.append(Found(labels[best], pieces[0][1], pieces[-1][2], scores[best]))
    if aggregation != "none":
        found = _grouped(found)
    return [one for one in found if one.label != "O"]


def _word_scores(pieces: Sequence[list[float]], aggregation: str) -> list[float]:
    if aggregation == "max":
        return max(pieces, key=max)
    if aggregation == "average":
        return [sum(column) / len(pieces) for column in zip(*pieces, strict=True)]
    return pieces[0]


def _grouped(found: Sequence[Found]) -> list[Found]:
    groups: list[list[Found]] = []
    for one in found:
        kind = one.label[2:] if one.label[:2] in ("B-", "I-") else one.label
        before = groups[-1][-1].label.removeprefix("B-").removeprefix("I-") if groups else ""
        if groups and before == kind and not one.label.startswith("B-"):
            groups[-1].append(one)
        else:
            groups.append([one])
    return [
        Found(
            group[0].label.removeprefix("B-").removeprefix("I-"),
            group[0].start,
            group[-1].end,
            sum(one.score for one in group) / len(group),
        )
        for group in groups
    ]


def answers_of(
    logits: Logits,
    windows: Sequence[tokenizers.Encoding],
    *,
    max_answer_tokens: int = 30,
    threshold: float | None = None,
) -> tuple[list[Found], float]:
    """Every span of a passage, best first, and the probability that there is no answer."""
    total, null, scored = 0.0, math.inf, dict[tuple[int, int], float]()
    for encoding in windows:
        starts, ends = of_row(logits, encoding).astype(np.float64).T.tolist()
        inside = [place for place, part in enumerate(encoding.sequence_ids) if part == 1]
        counted = inside if threshold is None else [0, *inside]
        total += sum(math.exp(starts[place]) for place in counted) * sum(
            math.exp(ends[place]) for place in counted
        )
        null = min(null, starts[0] + ends[0])
        for first in inside:
            for last in inside:
                if first <= last < first + max_answer_tokens:
                    key = _characters(encoding, first, last)
                    score = starts[first] + ends[last]
                    scored[key] = max(scored.get(key, -math.inf), score)
    ranked = sorted(scored.items(), key=lambda item: -item[1])
    no_answer = 0.0 if threshold is None else math.exp(null) / total
    if threshold is not None and ranked[0][1] <= null + threshold:
        return [], no_answer
    return [Found("", *key, math.exp(score) / total) for key, score in ranked], no_answer


def _characters(encoding: tokenizers.Encoding, first: int, last: int) -> tuple[int, int]:
    """From where the first token's word begins to where the last one's ends, in this window."""

    def same_word(place: int) -> list[int]:
        word = encoding.word_ids[place]
        parts = zip(encoding.word_ids, encoding.sequence_ids, strict=True)
        return [other for other, told in enumerate(parts) if told == (word, 1)]

    begin, _ = encoding.offsets[same_word(first)[0]]
    _, end = encoding.offsets[same_word(last)[-1]]
    return begin, end
