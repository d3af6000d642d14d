"""Where an answer begins and ends, by an extractive model's numbers: to spans of the passage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Reader
from trivet_backends.text.spans import (
    NOWHERE,
    OFFSETS,
    SEQUENCE_IDS,
    TEXTS,
    WINDOW,
    WORD_IDS,
    check_tokens,
    found,
    numbers_column,
    rows_of_windows,
    texts_column,
)

_TOKENS = ("batch", "tokens")

INPUTS = (
    TensorSpec(name="start_logits", datatype="FP32", dims=(-1, -1), symbols=_TOKENS),
    TensorSpec(name="end_logits", datatype="FP32", dims=(-1, -1), symbols=_TOKENS),
    OFFSETS,
    WORD_IDS,
    SEQUENCE_IDS,
    WINDOW,
    TEXTS,
)
OUTPUTS = (
    found("ANSWER", "BYTES"),
    found("PROBABILITY", "FP32"),
    found("START", "INT64"),
    found("END", "INT64"),
    TensorSpec(name="NO_ANSWER", datatype="FP32", dims=(-1, 1), symbols=("batch", "")),
)
DEFAULT_TOP_K = 1
DEFAULT_MAX_ANSWER_TOKENS = 30  # as in SQuAD's usual evaluation
MOST = 512  # of either
_PASSAGE = 1  # the sequence id of the pair's second text


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request asks for. threshold: None where there is always an answer."""

    top_k: int
    max_answer_tokens: int
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a passage: begin and end in characters, and a score, the sum of two logits."""

    begin: int
    end: int
    score: float


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> Answer:
    """Nothing has to be read."""
    return Answer()


@dataclass(frozen=True, slots=True)
class Answer:
    """Finds the best spans."""

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """ANSWER, PROBABILITY, START and END [questions, top_k], best first, and NO_ANSWER
        [questions, 1], the probability that there is none.

        start_logits, end_logits: float32 [windows, tokens]; the others as the tokenizers backend
        tells them of question and passage. START and END are characters of the passage, where words
        begin and end. A question with fewer answers has b"", 0 and -1 in the rest.
        Parameters: `top_k`; `max_answer_tokens`; `no_answer_threshold`: by how much the best score
        must exceed that of no answer, else there is none; not said: there is always an answer, and
        NO_ANSWER is 0.
        Raises InvalidInput: a parameter out of its range, shapes that disagree.
        """
        check_tokens(inputs, ("start_logits", "end_logits", "offsets", "word_ids", "sequence_ids"))
        wish = _wish(parameters)
        texts, rows, none = [], [], []
        for windows in rows_of_windows(inputs["window"]):
            mine = {name: array[windows] for name, array in inputs.items()}
            texts.append(mine["texts"][0, 0].decode())
            spans, no_answer = best_spans(mine, wish)
            rows.append(spans)
            none.append([no_answer])
        return _outputs(texts, rows, none, wish.top_k)


def best_spans(inputs: Tensors, wish: Wish) -> tuple[list[Span], float]:
    """The best spans of one passage with their probabilities as scores, and that of none.

    A span's probability is its share among all pairs of a begin and an end in the same window, over
    all windows together; with one window, the product of two softmaxes. With a threshold, [CLS]
    stands for no answer and takes part; its score is the lowest of any window.
    Source: Devlin et al. 2019 (BERT), sections 4.2 and 4.3.
    """
    starts, ends = (inputs[f"{name}_logits"].astype(np.float64) for name in ("start", "end"))
    passage = inputs["sequence_ids"] == _PASSAGE
    if not passage.any(axis=1).all():
        raise InvalidInput("a window holds nothing of the passage; send a pair of two texts")
    counted = passage.copy()
    if wish.threshold is not None:
        counted[:, 0] = True  # [CLS]
    total = _log_sum(_log_sums(starts, counted) + _log_sums(ends, counted))
    null = float((starts[:, 0] + ends[:, 0]).min())
    no_answer = 0.0 if wish.threshold is None else float(np.exp(null - total))
    spans = _distinct(inputs, starts, ends, passage, wish)
    if wish.threshold is not None and spans[0].score <= null + wish.threshold:
        return [], no_answer
    return [Span(s.begin, s.end, float(np.exp(s.score - total))) for s in spans], no_answer


def _distinct(
    inputs: Tensors, starts: np.ndarray, ends: np.ndarray, passage: np.ndarray, wish: Wish
) -> list[Span]:
    """The best spans by their scores; of those with the same characters, the best."""
    kept: dict[tuple[int, int], Span] = {}
    for number, begin, end, score in _ranked(starts, ends, passage, wish):
        words, offsets = inputs["word_ids"][number], inputs["offsets"][number]
        same = np.flatnonzero((words == words[begin]) & passage[number])
        first = int(offsets[same[0], 0])
        same = np.flatnonzero((words == words[end]) & passage[number])
        last = int(offsets[same[-1], 1])
        kept.setdefault((first, last), Span(first, last, score))
        if len(kept) == wish.top_k:
            break
    return list(kept.values())


def _ranked(
    starts: np.ndarray, ends: np.ndarray, passage: np.ndarray, wish: Wish
) -> Iterator[tuple[int, int, int, float]]:
    """Window, first token, last token and score of every span of the passage, best first; some come
    twice."""
    width = min(wish.max_answer_tokens, starts.shape[1])
    beside = np.full((len(ends), width - 1), -np.inf)
    inside_ends = np.concatenate([np.where(passage, ends, -np.inf), beside], axis=1)
    # [windows, tokens, width]: the span of a token and the `width` tokens from it on.
    reach = np.lib.stride_tricks.sliding_window_view(inside_ends, width, axis=1)
    scores = (np.where(passage, starts, -np.inf)[:, :, None] + reach).ravel()
    count = int(np.isfinite(scores).sum())
    # Most are never looked at: sorting all would cost milliseconds.
    most = min(count, 16 * wish.top_k)
    nearest = np.argpartition(-scores, most - 1)[:most]
    yield from _places(nearest[np.argsort(-scores[nearest], kind="stable")], scores, reach.shape)
    if most < count:  # all from the beginning, as equals may have been left out
        yield from _places(np.argsort(-scores, kind="stable")[:count], scores, reach.shape)


def _places(
    order: np.ndarray, scores: np.ndarray, shape: tuple[int, ...]
) -> Iterator[tuple[int, int, int, float]]:
    for flat in order.tolist():
        window, begin, more = (int(index) for index in np.unravel_index(flat, shape))
        yield window, begin, begin + more, float(scores[flat])


def _log_sums(logits: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The logarithm of each row's sum of exponentials, over what is counted; [rows]."""
    inside = np.where(counted, logits, -np.inf)
    largest = inside.max(axis=1, keepdims=True)
    sums: np.ndarray = largest[:, 0] + np.log(np.exp(inside - largest).sum(axis=1))
    return sums


def _log_sum(logarithms: np.ndarray) -> float:
    largest = logarithms.max()
    return float(largest + np.log(np.exp(logarithms - largest).sum()))


def _wish(parameters: Parameters) -> Wish:
    threshold = parameters.get("no_answer_threshold")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and not (is_number and np.isfinite(threshold)):
        raise InvalidInput(f"parameter 'no_answer_threshold' is {threshold!r}; send a number")
    return Wish(
        top_k=_whole(parameters, "top_k", DEFAULT_TOP_K),
        max_answer_tokens=_whole(parameters, "max_answer_tokens", DEFAULT_MAX_ANSWER_TOKENS),
        threshold=None if threshold is None else float(threshold),
    )


def _whole(parameters: Parameters, name: str, usual: int) -> int:
    value = parameters.get(name, usual)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST:
        return value
    raise InvalidInput(f"parameter '{name}' is {value!r}; send a whole number from 1 to {MOST}")


def _outputs(
    texts: Sequence[str],
    rows: Sequence[Sequence[Span]],
    none: Sequence[Sequence[float]],
    top_k: int,
) -> Tensors:
    written = [
        [text[span.begin : span.end].encode() for span in row]
        for text, row in zip(texts, rows, strict=True)
    ]
    scores = [[span.score for span in row] for row in rows]
    begins = [[span.begin for span in row] for row in rows]
    ends = [[span.end for span in row] for row in rows]
    return {
        "ANSWER": texts_column(written, top_k),
        "PROBABILITY": numbers_column(scores, top_k, 0, np.float32),
        "START": numbers_column(begins, top_k, NOWHERE, np.int64),
        "END": numbers_column(ends, top_k, NOWHERE, np.int64),
        "NO_ANSWER": np.array(none, dtype=np.float32),
    }
