"""What the tasks of models with a trained head answer: values, complete and unchanging.

Places are characters (Unicode code points) of the text as it was sent, so that text[start:end] is
what is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trivet_client.values import Cost

# How the labels of word pieces become spans; the server documents each at `Aggregation`.
Aggregation = Literal["none", "simple", "first", "max", "average"]
# What becomes of a text that is longer than the model's positions.
LongText = Literal["refuse", "truncate", "window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScore:
    """A label of a text: score from 0 to 1, or the number itself of a regression."""

    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedText:
    """The labels of one text or pair, the most probable first."""

    labels: tuple[LabelScore, ...]
    cost: Cost
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedSpan:
    """A labelled part of a text."""

    label: str
    score: float
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedText:
    """The labelled spans of one text, in its order."""

    spans: tuple[TaggedSpan, ...]
    cost: Cost
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSpan:
    """A part of a passage that may be the answer."""

    text: str
    probability: float
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredQuestion:
    """The answers to one question, the best first.

    answers: empty where `no_answer_threshold` decided that there is none.
    no_answer_probability: 0 without a threshold.
    """

    answers: tuple[AnswerSpan, ...]
    no_answer_probability: float
    cost: Cost
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSentence:
    """How probable the second text of a pair follows on the first."""

    probability: float
    cost: Cost
    model: str
    version: int
