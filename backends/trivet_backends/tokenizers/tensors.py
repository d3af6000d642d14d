"""Token lists to arrays: one row per text, padded to the request's longest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from trivet.errors import InvalidInput
from trivet.request import Tensors
from trivet_backends.tokenizers.encoder import Text, Tokens

Table = Callable[[Sequence[Text], Sequence[Tokens]], np.ndarray]

NO_POSITION = -1  # pads mask_positions
NO_WORD = -1  # a special token's word id, and padding's
PLACES = frozenset({"tokens", "offsets", "word_ids"})  # need encodings that know them


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The few entries of a vocabulary that this backend needs to know."""

    pad_id: int
    pad_type_id: int
    mask_token: str
    mask_id: int | None  # None: the vocabulary has no such token


class Writer:
    """Makes the outputs asked for."""

    def __init__(self, vocabulary: Vocabulary, names: Set[str], *, batches: bool) -> None:
        """batches: whether arrays carry a batch dimension; if not, a request has one text."""
        tables: Mapping[str, Table] = {
            "input_ids": self._input_ids,
            "attention_mask": self._attention_mask,
            "token_type_ids": self._token_type_ids,
            "mask_positions": self._mask_positions,
            "special_tokens_mask": self._special_tokens_mask,
            "tokens": self._token_texts,
            "offsets": self._offsets,
            "word_ids": self._word_ids,
        }
        self._vocabulary = vocabulary
        self._tables = {name: table for name, table in tables.items() if name in names}
        self._batches = batches

    def outputs(self, texts: Sequence[Text], rows: Sequence[Tokens]) -> Tensors:
        """Arrays of int64 [texts, longest], or [length] without a batch dimension.

        tokens is BYTES, and offsets has 2 for each token: where it begins and ends, in characters
        of its own text. Padding has type, offset and position of nothing, but is special.
        Raises InvalidInput for a text without a mask token where mask_positions is asked for.
        """
        arrays = {name: table(texts, rows) for name, table in self._tables.items()}
        return arrays if self._batches else {name: array[0] for name, array in arrays.items()}

    def _input_ids(self, _: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        return padded([row.ids for row in rows], self._vocabulary.pad_id)

    def _attention_mask(self, _: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        lengths = [len(row.ids) for row in rows]
        if len(rows) == 1:
            return np.ones((1, lengths[0]), dtype=np.int64)
        columns = np.arange(max(lengths))
        return (columns < np.array(lengths)[:, None]).astype(np.int64)

    def _token_type_ids(self, _: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        return padded([row.type_ids for row in rows], self._vocabulary.pad_type_id)

    def _mask_positions(self, texts: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        mask_id = self._vocabulary.mask_id
        found = [[i for i, token in enumerate(row.ids) if token == mask_id] for row in rows]
        for text, row, positions in zip(texts, rows, found, strict=True):
            if not positions:
                raise self._no_mask(text, row)
        return padded(found, NO_POSITION)

    def _special_tokens_mask(self, _: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        return padded([row.chosen(row.encoding.special_tokens_mask) for row in rows], 1)

    def _token_texts(self, _: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        array = np.full((len(rows), _longest(rows)), b"", dtype=object)
        for target, row in zip(array, rows, strict=True):
            tokens = row.chosen(row.encoding.tokens)
            target[: len(tokens)] = [token.encode() for token in tokens]
        return array

    def _offsets(self, _: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        array = np.zeros((len(rows), _longest(rows), 2), dtype=np.int64)
        for target, row in zip(array, rows, strict=True):
            target[: len(row.ids)] = row.chosen(row.encoding.offsets)
        return array

    def _word_ids(self, _: Sequence[Text], rows: Sequence[Tokens]) -> np.ndarray:
        """Of each token, which word of its text it is part of, from 0; -1 for a special token."""
        words = [row.chosen(row.encoding.word_ids) for row in rows]
        return padded([[NO_WORD if w is None else w for w in row] for row in words], NO_WORD)

    def _no_mask(self, text: Text, row: Tokens) -> InvalidInput:
        mask = self._vocabulary.mask_token
        if row.truncated:
            return InvalidInput(
                f"{text.place}the text has no {mask} in its first {len(row.ids)} tokens, and was "
                f"truncated to them; put a {mask} there, or send a shorter text"
            )
        return InvalidInput(
            f"{text.place}the text has no mask token; write {mask} where a word is to be found"
        )


def _longest(rows: Sequence[Tokens]) -> int:
    return max(len(row.ids) for row in rows)


def padded(rows: Sequence[Sequence[int]], pad: int) -> np.ndarray:
    """Rows of different lengths as one int64 array [rows, longest]."""
    if len(rows) == 1:
        return np.array(rows, dtype=np.int64)
    array = np.full((len(rows), max(map(len, rows))), pad, dtype=np.int64)
    for target, row in zip(array, rows, strict=True):
        target[: len(row)] = row
    return array
