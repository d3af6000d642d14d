"""What is learned from: one frozen value per row of a file, and the tasks there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HeadTask(StrEnum):
    """What a head answers; the value is what `--task` says."""

    CLASSIFY = "classify"
    MULTI_LABEL = "multi_label"
    REGRESSION = "regression"
    NEXT_SENTENCE = "next_sentence"
    TAG_TOKENS = "tag_tokens"
    ANSWER = "answer"
    FILL_MASK = "fill_mask"

    @property
    def has_labels(self) -> bool:
        """Whether the head chooses among labels that the data names."""
        return self in (HeadTask.CLASSIFY, HeadTask.MULTI_LABEL, HeadTask.TAG_TOKENS)

    @property
    def is_of_texts(self) -> bool:
        """Whether the head says one thing of a whole text, from the pooled first token."""
        return self not in (HeadTask.TAG_TOKENS, HeadTask.ANSWER, HeadTask.FILL_MASK)

    @property
    def built_as(self) -> str:
        """What `trivet build` calls it: one head serves a label per text, several, and numbers."""
        as_classes = (HeadTask.MULTI_LABEL, HeadTask.REGRESSION)
        return "classify" if self in as_classes else self.value


# What a pair of the task next_sentence is labelled, in the order of the head's outputs, which is
# transformers'.
FOLLOWS = ("true", "false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A text, or a pair of texts, with its label."""

    line: int  # of the file, from 1: where the row begins
    text: str
    pair: str | None
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiLabelled:
    """A text, or a pair of texts, with any number of labels; none, too."""

    line: int
    text: str
    pair: str | None
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """A text, or a pair of texts, with the number that a head is to say of it."""

    line: int
    text: str
    pair: str | None
    value: float  # finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A sentence, word by word, with a tag for each."""

    line: int
    words: tuple[str, ...]
    tags: tuple[str, ...]
    lines: tuple[int, ...]  # of each word


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and the passage that answers it, or does not: then `answer` is empty."""

    line: int
    question: str
    passage: str
    answer: str
    start: int  # in characters of the passage; 0 where there is no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A text whose words are the lesson."""

    line: int
    text: str


Example = Labelled | MultiLabelled | Rated | Tagged | Asked | Plain
