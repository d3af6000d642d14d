"""Examples as token ids with what a head should answer: one Row per example, or per window of one.

The tokenizer is the checkpoint's own tokenizer.json, the one that serves. What is too long is cut,
and told; a passage is read in windows that overlap instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trivet_backends.workshop.finetune.examples import (
    Asked,
    Example,
    HeadTask,
    Labelled,
    MultiLabelled,
    Plain,
    Rated,
    Tagged,
)
from trivet_backends.workshop.finetune.faults import LineFaults

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

IGNORED = -100  # a target that counts for nothing, as torch's cross entropy has it
_ENCODED_AT_ONCE = 1024
_OVERLAP = 64  # tokens; SQuAD's answers have 30 at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a model computes at once.

    ids, types: int32 [tokens].
    target: int64; classify and next_sentence [1], the label's place; multi_label [labels], 1 for
    those the text has, else 0; regression float32 [1], the number; tag_tokens and fill_mask
    [tokens], the tag's place or the token's id where one is asked for, else IGNORED; answer [2],
    the first and the last token of the answer, both 0 (at [CLS]) where this window has none.
    spans: int32 [tokens, 2], each passage token's characters, -1 for other tokens; of answer only.
    """

    example: int  # its place among the examples
    ids: np.ndarray
    types: np.ndarray
    target: np.ndarray
    spans: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """All rows of a set of examples."""

    rows: Sequence[Row]
    cut: int  # examples that were too long and lost their end

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row.ids) for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Makes rows. max_tokens: of a row, special tokens too."""

    tokenizer: Path
    task: HeadTask
    labels: Sequence[str]
    max_tokens: int

    @property
    def stride(self) -> int:
        """By how many tokens windows overlap, so that no shorter answer is cut in two."""
        return min(_OVERLAP, self.max_tokens // 4)

    def encode(self, examples: Sequence[Example], file: str) -> Encoded:
        """file: the name that faults are told with. Raises InvalidConfig for what has no token."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.tokenizer))
        tokenizer.no_padding()
        windows = self.task is HeadTask.ANSWER
        if windows:
            tokenizer.enable_truncation(self.max_tokens, stride=self.stride, strategy="only_second")
        else:
            tokenizer.enable_truncation(self.max_tokens)
        faults, rows, cut = LineFaults(file), list[Row](), 0
        for first in range(0, len(examples), _ENCODED_AT_ONCE):
            some = examples[first : first + _ENCODED_AT_ONCE]
            for place, encoding in enumerate(self._encodings(tokenizer, some, faults), first):
                made = list(self._rows(place, examples[place], encoding))
                if not made:
                    faults.add(examples[place].line, *_NOTHING[self.task])
                rows.extend(made)
                cut += bool(encoding.overflowing) and not windows
        faults.refuse()
        return Encoded(rows=rows, cut=cut)

    def _encodings(
        self, tokenizer: Tokenizer, examples: Sequence[Example], faults: LineFaults
    ) -> list[Encoding]:
        if self.task is HeadTask.ANSWER:
            self._check_questions(tokenizer, examples, faults)
            faults.refuse()  # the tokenizer would refuse all for one, and not say which
        inputs = [_input_of(example) for example in examples]
        encodings: list[Encoding] = tokenizer.encode_batch(
            inputs, is_pretokenized=self.task is HeadTask.TAG_TOKENS
        )
        return encodings

    def _check_questions(
        self, tokenizer: Tokenizer, examples: Sequence[Example], faults: LineFaults
    ) -> None:
        most = self.max_tokens - self.stride - 3  # [CLS], [SEP], [SEP]; windows have to move on
        for example in examples:
            assert isinstance(example, Asked)
            tokens = len(tokenizer.encode(example.question, add_special_tokens=False).ids)
            if tokens >= most:
                found = f"the question has {tokens} tokens and leaves no place for the passage"
                faults.add(example.line, found, "shorten it, or raise --max-tokens")

    def _rows(self, place: int, example: Example, encoding: Encoding) -> Iterator[Row]:
        windows = [encoding, *encoding.overflowing] if isinstance(example, Asked) else [encoding]
        for window in windows:
            spans = None
            match example:
                case Labelled(label=label):
                    target = np.array([self.labels.index(label)], np.int64)
                case MultiLabelled(labels=labels):
                    target = np.array([label in labels for label in self.labels], np.int64)
                case Rated(value=value):
                    target = np.array([value], np.float32)
                case Tagged(tags=tags):
                    target = _tag_targets(window, [self.labels.index(tag) for tag in tags])
                case Asked():
                    spans = _passage_spans(window)
                    target = _answer_target(spans, example)
                case Plain():
                    target = np.array(window.ids, np.int64)
                    target[np.array(window.special_tokens_mask, bool)] = IGNORED
            if self.task in (HeadTask.TAG_TOKENS, HeadTask.FILL_MASK) and (target == IGNORED).all():
                continue
            yield Row(
                example=place,
                ids=np.array(window.ids, np.int32),
                types=np.array(window.type_ids, np.int32),
                target=target,
                spans=spans,
            )


_NOTHING = {
    **{task: ("has no token", "give a text") for task in HeadTask if task.is_of_texts},
    HeadTask.TAG_TOKENS: ("no word has a token", "give words that can be written"),
    HeadTask.ANSWER: ("has no token", "give a question and a passage"),
    HeadTask.FILL_MASK: ("has no token that could be guessed", "give a text with words"),
}


def _input_of(example: Example) -> object:
    """What tokenizers takes: a text, a pair, or a list of words."""
    match example:
        case Labelled(pair=None) | MultiLabelled(pair=None) | Rated(pair=None) | Plain():
            return example.text
        case Labelled() | MultiLabelled() | Rated():
            return (example.text, example.pair)
        case Tagged():
            return list(example.words)
        case Asked():
            return (example.question, example.passage)


def _tag_targets(encoding: Encoding, places: Sequence[int]) -> np.ndarray:
    """The first token of a word answers for it; the others count for nothing."""
    target = np.full(len(encoding.ids), IGNORED, np.int64)
    before = None
    for token, word in enumerate(encoding.word_ids):
        if word is not None and word != before:
            target[token] = places[word]
        before = word
    return target


def _passage_spans(window: Encoding) -> np.ndarray:
    spans = np.full((len(window.ids), 2), -1, np.int32)
    for token, (sequence, span) in enumerate(zip(window.sequence_ids, window.offsets, strict=True)):
        if sequence == 1 and span[1] > span[0]:
            spans[token] = span
    return spans


def _answer_target(spans: np.ndarray, example: Asked) -> np.ndarray:
    """The answer's first and last token, if the window has all of it."""
    nowhere = np.zeros(2, np.int64)
    if not example.answer:
        return nowhere
    first, last = example.start, example.start + len(example.answer) - 1
    inside = [np.flatnonzero((spans[:, 0] <= at) & (at < spans[:, 1])) for at in (first, last)]
    if not (len(inside[0]) and len(inside[1])):
        return nowhere
    return np.array([inside[0][0], inside[1][-1]], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """BERT's way to make a lesson of a text. Source: Devlin et al. 2019, section 3.1."""

    mask_id: int
    vocab_size: int
    share: float = 0.15

    def masked(self, row: Row, seed: Sequence[int]) -> Row:
        """The row with some tokens hidden; only they are asked for, and there is one at least.

        Of the hidden ones 80 % become [MASK], 10 % any token, 10 % stay. seed: whatever the choice
        is to depend on; the same seed hides the same tokens.
        """
        rng = np.random.default_rng(seed)
        places = np.flatnonzero(row.target != IGNORED)
        count = max(1, round(len(places) * self.share))
        hidden = rng.choice(places, count, replace=False)
        ids, target = row.ids.copy(), np.full_like(row.target, IGNORED)
        target[hidden] = row.target[hidden]
        dice = rng.random(count)
        ids[hidden[dice < 0.8]] = self.mask_id
        strangers = hidden[dice >= 0.9]
        ids[strangers] = rng.integers(0, self.vocab_size, len(strangers))
        return Row(example=row.example, ids=ids, types=row.types, target=target)


def padded(rows: Sequence[Row], pad_id: int) -> Mapping[str, np.ndarray]:
    """The inputs of BERT: int64 [rows, longest] ids, mask and types, filled up on the right."""
    longest = max(len(row.ids) for row in rows)
    arrays = {
        "input_ids": np.full((len(rows), longest), pad_id, np.int64),
        "attention_mask": np.zeros((len(rows), longest), np.int64),
        "token_type_ids": np.zeros((len(rows), longest), np.int64),
    }
    for place, row in enumerate(rows):
        tokens = len(row.ids)
        arrays["input_ids"][place, :tokens] = row.ids
        arrays["attention_mask"][place, :tokens] = 1
        arrays["token_type_ids"][place, :tokens] = row.types
    return arrays
