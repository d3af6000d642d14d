"""What variants are asked: the user's texts, or labelled rows, as a model's inputs in batches.

Batches hold texts of like length and at most so many tokens, as the server forms them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.graph.fill_mask import MASK_POSITIONS, TARGET_IDS
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize.running import Feeds

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_BATCH_TOKENS = 256  # as the configs of a build have it
_MASK = ("[MASK]", "<mask>")
_SPECIALS = 3  # [CLS], [SEP], [SEP]
_TOO_FEW = 32  # texts: fewer than that are not parted


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One text or pair in tokens; mask: the place that fill-mask is asked for, else None."""

    encoding: Encoding
    mask: int | None = None

    @property
    def length(self) -> int:
        """Tokens, [CLS] and [SEP] counted."""
        return len(self.encoding.ids)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """rows: the samples' places in the list they came from, in the order of the arrays."""

    rows: tuple[int, ...]
    feeds: Feeds


class Samples:
    """Makes samples, and batches of them, for one tokenizer and task."""

    def __init__(self, tokenizer_file: Path, task: Task, max_tokens: int, *, targets: bool) -> None:
        """targets: whether the graph can be asked for the probabilities of given tokens."""
        from tokenizers import Tokenizer

        self._tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._max_tokens = max_tokens
        self._task = task
        self._targets = targets
        self._mask_id = next(
            (found for word in _MASK if (found := self._tokenizer.token_to_id(word)) is not None),
            None,
        )

    def of_texts(self, texts: Sequence[str]) -> list[Sample]:
        """Texts, cut to what the model can take; for fill-mask the middle token is hidden."""
        return self._masked(self._cut(self._tokenizer.encode_batch(list(texts))))

    def of_pairs(
        self, pairs: Sequence[tuple[str, str]], cut: str = "longest_first"
    ) -> list[Sample]:
        """Pairs. cut: which text of one that is too long, as tokenizers calls it."""
        self._tokenizer.enable_truncation(self._max_tokens, strategy=cut)
        encodings = self._tokenizer.encode_batch(list(pairs))
        self._tokenizer.no_truncation()
        return [Sample(encoding) for encoding in encodings]

    def of_masked(self, texts: Sequence[str]) -> list[Sample]:
        """Texts that hide a word themselves; mask: None where that is not one and in sight."""
        encodings = self._cut(self._tokenizer.encode_batch(list(texts)))
        hidden = [[i for i, id_ in enumerate(e.ids) if id_ == self._mask_id] for e in encodings]
        return [
            Sample(encoding, places[0] if len(places) == 1 else None)
            for encoding, places in zip(encodings, hidden, strict=True)
        ]

    @property
    def mask_token(self) -> str:
        """How texts write a hidden word."""
        found: str | None = self._tokenizer.id_to_token(self._mask_id) if self._mask_id else None
        return found or _MASK[0]

    def token_of(self, word: str) -> int | None:
        """The word's id; None if it is not one token."""
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        return ids[0] if len(ids) == 1 else None

    def leaves_room(self, first: str) -> bool:
        """Whether a token of a second text fits behind this one."""
        tokens = len(self._tokenizer.encode(first, add_special_tokens=False).ids)
        return tokens < self._max_tokens - _SPECIALS

    def of_words(self, sentences: Sequence[Sequence[str]]) -> list[Sample]:
        """Sentences word by word; an encoding's word_ids tell which token is of which."""
        inputs = [list(words) for words in sentences]
        encodings = self._tokenizer.encode_batch(inputs, is_pretokenized=True)
        return [Sample(encoding) for encoding in self._cut(encodings)]

    def of_length(self, tokens: int) -> Feeds:
        """One row of so many tokens, for the clock."""
        (words,) = self._cut(self._tokenizer.encode_batch(["the house on the hill " * tokens]))
        words.truncate(min(tokens, len(words.ids)))
        return self.feeds([Sample(words, 1 if self._task is Task.FILL_MASK else None)])

    def batches(self, samples: Sequence[Sample]) -> list[Batch]:
        """All samples, sorted by length."""
        batches: list[list[int]] = []
        for place in sorted(range(len(samples)), key=lambda place: samples[place].length):
            rows = batches[-1] if batches else []
            if not rows or (len(rows) + 1) * samples[place].length > _BATCH_TOKENS:
                rows = []
                batches.append(rows)
            rows.append(place)
        return [
            Batch(rows=tuple(rows), feeds=self.feeds([samples[row] for row in rows]))
            for rows in batches
        ]

    def feeds(self, samples: Sequence[Sample]) -> Feeds:
        """int64 arrays [rows, tokens], padded on the right; of fill-mask also mask_positions and
        target_ids [rows, 1], none, as the tokenizer of a pipeline tells them.
        """
        shape = (len(samples), max(sample.length for sample in samples))
        ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
        for row, sample in enumerate(samples):
            here = slice(0, sample.length)
            ids[row, here], mask[row, here] = sample.encoding.ids, 1
            types[row, here] = sample.encoding.type_ids
            if sample.mask is not None:
                assert self._mask_id is not None, "a build refuses a tokenizer without one"
                ids[row, sample.mask] = self._mask_id
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        if self._task is Task.FILL_MASK:
            feeds[MASK_POSITIONS] = np.array([[sample.mask or 0] for sample in samples], np.int64)
        if self._targets:
            feeds[TARGET_IDS] = np.full((len(samples), 1), -1, np.int64)
        return feeds

    def _cut(self, encodings: Sequence[Encoding]) -> list[Encoding]:
        for encoding in encodings:
            if len(encoding.ids) > self._max_tokens:
                encoding.truncate(self._max_tokens)
        return list(encodings)

    def _masked(self, encodings: Sequence[Encoding]) -> list[Sample]:
        if self._task is not Task.FILL_MASK:
            return [Sample(encoding) for encoding in encodings]
        return [Sample(encoding, len(encoding.ids) // 2) for encoding in encodings]


def read_texts(path: Path) -> list[str]:
    """Its lines that are not empty. Raises InvalidConfig if there is none, or it is no UTF-8."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        cure = "give a file with one text per line"
        raise InvalidConfig([Fault(f"--texts {path}", f"{error.strerror}", cure)]) from error
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise InvalidConfig(
            [Fault(f"--texts {path}, line {line:,}", found, "save the file as UTF-8")]
        ) from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise InvalidConfig([Fault(f"--texts {path}", "holds no text", "give one per line")])
    return texts


def parted(items: Sequence[Any], first: int, second: int) -> tuple[list[Any], list[Any]]:
    """Some to calibrate with, spread evenly, and others to judge by; of few, all are both."""
    if len(items) < _TOO_FEW:
        return list(items), list(items)
    step = max(len(items) // min(first, len(items) // 2), 2)
    chosen = set(range(0, len(items), step)[:first])
    rest = [item for place, item in enumerate(items) if place not in chosen]
    return [items[place] for place in sorted(chosen)], rest[:second]
