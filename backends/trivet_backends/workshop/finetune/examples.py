"""What is learned from: one frozen value per row of a file, and the tasks there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HeadTask(StrEnum):
    """What a head answers; the value is what `--task` says, here and in `trivet build`."""

    CLASSIFY = "classify"
    TAG_TOKENS = "tag_tokens"
    ANSWER = "answer"
    FILL_MASK = "fill_mask"

    @property
    def has_labels(self) -> bool:
        """Whether the head chooses among labels that the data names."""
        return self in (HeadTask.CLASSIFY, HeadTask.TAG_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A text, or a pair of texts, with its label."""

    line: int  # of the file, from 1: where the row begins
    text: str
    pair: str | None
    label: str


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


Example = Labelled | Tagged | Asked | Plain
