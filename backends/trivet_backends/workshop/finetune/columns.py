"""Which column of a file holds what."""

from __future__ import annotations

from dataclasses import dataclass

from trivet_backends.workshop.finetune.examples import HeadTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names of columns. Those of CoNLL are numbered from 1; -1 is the last."""

    text: str = "text"
    pair: str = ""  # "": one text alone
    label: str = "label"
    separator: str = "|"  # between a text's several labels, where they are no list
    words: str = "words"
    tags: str = "tags"
    question: str = "question"
    passage: str = "passage"
    answer: str = "answer"
    start: str = "start"  # may be missing: the answer is looked for then
    word_number: int = 1
    tag_number: int = -1

    def needed(self, task: HeadTask) -> dict[str, str]:
        """The columns that a table must have, each with the flag that names another."""
        match task:
            case HeadTask.TAG_TOKENS:
                return {self.words: "--words-column", self.tags: "--tags-column"}
            case HeadTask.ANSWER:
                return {
                    self.question: "--question-column",
                    self.passage: "--passage-column",
                    self.answer: "--answer-column",
                }
            case HeadTask.FILL_MASK:
                return {self.text: "--text-column"}
            case _:
                pair = {self.pair: "--pair-column"} if self.pair else {}
                return {self.text: "--text-column", **pair, self.label: "--label-column"}
