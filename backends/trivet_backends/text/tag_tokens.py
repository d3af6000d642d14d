"""A token classifier's numbers to labelled spans of the text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Parameter, Reader, one_of
from trivet_backends.text.labels import LOGITS, read_labels
from trivet_backends.text.spans import (
    NOWHERE,
    OFFSETS,
    TEXTS,
    WINDOW,
    WORD_IDS,
    check_tokens,
    found,
    numbers_column,
    rows_of_windows,
    softmax,
    texts_column,
)

INPUTS = (
    TensorSpec(
        name=LOGITS, datatype="FP32", dims=(-1, -1, -1), symbols=("batch", "tokens", "labels")
    ),
    OFFSETS,
    WORD_IDS,
    WINDOW,
    TEXTS,
)
OUTPUTS = (
    found("LABEL", "BYTES"),
    found("SCORE", "FP32"),
    found("START", "INT64"),
    found("END", "INT64"),
    found("SPAN", "BYTES"),
)
OUTSIDE = "O"  # the label of what is in no span


class Piece(NamedTuple):
    """One token, or what became of several: scores float32 [labels]; begin, end: characters.

    A tuple, like Span, since frozen dataclasses take three times as long to make.
    """

    scores: np.ndarray
    begin: int
    end: int
    word: int


class Span(NamedTuple):
    """A labelled part of a text."""

    label: str
    score: float
    begin: int
    end: int


# What the scores of a word are, of those of its pieces [pieces, labels].
WordScores = Callable[[np.ndarray], np.ndarray]


def first(scores: np.ndarray) -> np.ndarray:
    """Those of its first piece."""
    own: np.ndarray = scores[0]
    return own


def largest(scores: np.ndarray) -> np.ndarray:
    """Those of the piece that is surest of its label."""
    own: np.ndarray = scores[scores.max(axis=1).argmax()]
    return own


def average(scores: np.ndarray) -> np.ndarray:
    """The mean over its pieces."""
    own: np.ndarray = scores.mean(axis=0)
    return own


def _each(pieces: Sequence[Piece]) -> Sequence[Piece]:
    return pieces


def _by_word(scores_of: WordScores) -> Callable[[Sequence[Piece]], Sequence[Piece]]:
    def joined(pieces: Sequence[Piece]) -> Sequence[Piece]:
        return [_word(list(same), scores_of) for _, same in groupby(pieces, lambda p: p.word)]

    return joined


def _word(pieces: Sequence[Piece], scores_of: WordScores) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    scores = scores_of(np.stack([piece.scores for piece in pieces]))
    return Piece(scores, pieces[0].begin, pieces[-1].end, pieces[0].word)


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How tokens become spans: whether words are put together and how, and whether neighbours of
    one kind become one span."""

    words: Callable[[Sequence[Piece]], Sequence[Piece]]
    groups: bool


# Names and meanings are those of transformers' token classification pipeline.
AGGREGATIONS: Mapping[str, Aggregation] = {
    "none": Aggregation(_each, groups=False),
    "simple": Aggregation(_each, groups=True),
    "first": Aggregation(_by_word(first), groups=True),
    "max": Aggregation(_by_word(largest), groups=True),
    "average": Aggregation(_by_word(average), groups=True),
}
AGGREGATION = one_of(
    "aggregation",
    AGGREGATIONS,
    AGGREGATIONS["first"],
    "How tokens become spans, where the request does not say.",
)
PARAMETERS: tuple[Parameter[Any], ...] = (AGGREGATION,)


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> TagTokens:
    """Read the version's labels. Raises InvalidConfig if they are no good."""
    return TagTokens(read_labels(config, context), reader.value(AGGREGATION))


@dataclass(frozen=True, slots=True)
class TagTokens:
    """labels: by number, such as O, B-PER, I-PER."""

    labels: Sequence[str]
    usual: Aggregation

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """LABEL, SCORE, START, END and SPAN [texts, spans], in the order of each text.

        logits: float32 [windows, tokens, labels]; offsets, word_ids, window and texts as the
        tokenizers backend tells them. START and END are characters of the text, SPAN is what stands
        there. A text with fewer spans than another has b"", 0 and -1 in the rest.
        Parameter `aggregation`: one of AGGREGATIONS; none said: the config's.
        Raises InvalidInput: an unknown aggregation, shapes that disagree.
        """
        check_tokens(inputs, (LOGITS, "offsets", "word_ids"))
        if inputs[LOGITS].shape[2] != len(self.labels):
            raise InvalidInput(
                f"input '{LOGITS}' has {inputs[LOGITS].shape[2]} numbers for each token, and there"
                f" are {len(self.labels)} labels; send as many"
            )
        aggregation = _aggregation(parameters, self.usual)
        texts, rows = [], []
        for windows in rows_of_windows(inputs["window"]):
            mine = {name: array[windows] for name, array in inputs.items()}
            texts.append(mine["texts"][0, 0].decode())
            rows.append(self._spans(aggregation, pieces(mine)))
        return _outputs(texts, rows)

    def _spans(self, aggregation: Aggregation, tokens: Sequence[Piece]) -> list[Span]:
        labelled = self._labelled(aggregation.words(tokens))
        if aggregation.groups:
            labelled = grouped(labelled)
        return [span for span in labelled if span.label != OUTSIDE]

    def _labelled(self, found: Sequence[Piece]) -> list[Span]:
        if not found:
            return []
        scores = np.stack([piece.scores for piece in found])
        best, surest = scores.argmax(axis=1).tolist(), scores.max(axis=1).tolist()
        return [
            Span(self.labels[label], score, piece.begin, piece.end)
            for label, score, piece in zip(best, surest, found, strict=True)
        ]


def pieces(inputs: Tensors) -> list[Piece]:
    """The tokens of one text, each once: of windows that share tokens, each gives the half that is
    farther from its own edge."""
    found, firsts = [], inputs["window"][:, 1].tolist()
    scores = softmax(inputs[LOGITS])
    words, offsets = inputs["word_ids"], inputs["offsets"]
    begin = 0  # the number of the first token that is still wanted
    for number, first_token in enumerate(firsts):
        inside = np.flatnonzero(words[number] >= 0)
        end = first_token + len(inside)
        if number + 1 < len(firsts):
            end -= (end - firsts[number + 1] + 1) // 2
        wanted = inside[begin - first_token : end - first_token]
        found += [
            Piece(own, start, stop, word)
            for own, (start, stop), word in zip(
                scores[number, wanted],
                offsets[number, wanted].tolist(),
                words[number, wanted].tolist(),
                strict=True,
            )
        ]
        begin = end
    return found


def grouped(spans: Iterable[Span]) -> list[Span]:
    """Neighbours of one kind as one span: I-PER goes on with PER, B-PER begins another.

    A label without B- or I- goes on with itself. Scores are the mean.
    Source: `group_entities` of transformers' token classification pipeline.
    """
    groups: list[tuple[str, list[Span]]] = []
    for span in spans:
        begins, kind = _kind(span.label)
        if groups and groups[-1][0] == kind and not begins:
            groups[-1][1].append(span)
        else:
            groups.append((kind, [span]))
    return [
        Span(kind, sum(s.score for s in same) / len(same), same[0].begin, same[-1].end)
        for kind, same in groups
    ]


def _kind(label: str) -> tuple[bool, str]:
    """Whether a label begins a span, and of which kind that is."""
    if label.startswith(("B-", "I-")):
        return label.startswith("B-"), label[2:]
    return False, label


def _aggregation(parameters: Parameters, usual: Aggregation) -> Aggregation:
    asked = parameters.get("aggregation")
    if asked is None:
        return usual
    if isinstance(asked, str) and asked in AGGREGATIONS:
        return AGGREGATIONS[asked]
    known = ", ".join(AGGREGATIONS)
    raise InvalidInput(f"parameter 'aggregation' is {asked!r}; send one of {known}")


def _outputs(texts: Sequence[str], rows: Sequence[Sequence[Span]]) -> Tensors:
    width = max(map(len, rows))
    written = [
        [text[span.begin : span.end].encode() for span in row]
        for text, row in zip(texts, rows, strict=True)
    ]
    begins = [[span.begin for span in row] for row in rows]
    ends = [[span.end for span in row] for row in rows]
    return {
        "LABEL": texts_column([[span.label.encode() for span in row] for row in rows], width),
        "SCORE": numbers_column(
            [[span.score for span in row] for row in rows], width, 0, np.float32
        ),
        "START": numbers_column(begins, width, NOWHERE, np.int64),
        "END": numbers_column(ends, width, NOWHERE, np.int64),
        "SPAN": texts_column(written, width),
    }
