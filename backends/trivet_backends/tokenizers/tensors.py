"""Token lists to arrays: one row per text, padded to the request's longest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from trivet.errors import InvalidInput
from trivet.request import Tensors
from trivet_backends.tokenizers.encoder import Tokens

if TYPE_CHECKING:
    import tokenizers

T = TypeVar("T")

Table = Callable[[Sequence[Tokens]], np.ndarray]

NO_POSITION = -1  # pads mask_positions
NO_WORD = -1  # a special token's word id, and padding's
NO_TEXT = -1  # a special token's sequence id, and padding's
WINDOW = "window"
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
            "sequence_ids": self._sequence_ids,
            WINDOW: self._window,
            "texts": self._texts,
        }
        self._vocabulary = vocabulary
        self._tables = {name: table for name, table in tables.items() if name in names}
        self.batches = batches

    @property
    def tells_windows(self) -> bool:
        """Whether which rows are windows over which text is among the outputs."""
        return WINDOW in self._tables

    def outputs(self, rows: Sequence[Tokens]) -> Tensors:
        """Arrays of int64 [rows, longest], or [length] without a batch dimension.

        tokens is BYTES, and offsets has 2 for each token: where it begins and ends, in characters
        of its own text. Padding has type, offset and position of nothing, but is special.
        Raises InvalidInput for a text without a mask token where mask_positions is asked for.
        """
        arrays = {name: table(rows) for name, table in self._tables.items()}
        return arrays if self.batches else {name: array[0] for name, array in arrays.items()}

    def _input_ids(self, rows: Sequence[Tokens]) -> np.ndarray:
        return padded([row.ids for row in rows], self._vocabulary.pad_id)

    def _attention_mask(self, rows: Sequence[Tokens]) -> np.ndarray:
        lengths = [len(row.ids) for row in rows]
        if len(rows) == 1:
            return np.ones((1, lengths[0]), dtype=np.int64)
        columns = np.arange(max(lengths))
        return (columns < np.array(lengths)[:, None]).astype(np.int64)

    def _token_type_ids(self, rows: Sequence[Tokens]) -> np.ndarray:
        return padded([row.type_ids for row in rows], self._vocabulary.pad_type_id)

    def _mask_positions(self, rows: Sequence[Tokens]) -> np.ndarray:
        mask_id = self._vocabulary.mask_id
        found = [[i for i, token in enumerate(row.ids) if token == mask_id] for row in rows]
        for row, positions in zip(rows, found, strict=True):
            if not positions:
                raise self._no_mask(row)
        return padded(found, NO_POSITION)

    def _special_tokens_mask(self, rows: Sequence[Tokens]) -> np.ndarray:
        return padded(list(_chosen(rows, lambda encoding: encoding.special_tokens_mask)), 1)

    def _token_texts(self, rows: Sequence[Tokens]) -> np.ndarray:
        array = np.full((len(rows), _longest(rows)), b"", dtype=object)
        found = _chosen(rows, lambda encoding: encoding.tokens)
        for target, tokens in zip(array, found, strict=True):
            target[: len(tokens)] = [token.encode() for token in tokens]
        return array

    def _offsets(self, rows: Sequence[Tokens]) -> np.ndarray:
        array = np.zeros((len(rows), _longest(rows), 2), dtype=np.int64)
        found = _chosen(rows, lambda encoding: encoding.offsets)
        for target, offsets in zip(array, found, strict=True):
            target[: len(offsets)] = offsets
        return array

    def _word_ids(self, rows: Sequence[Tokens]) -> np.ndarray:
        """Of each token, which word of its text it is part of, from 0; -1 for a special token."""
        words = _chosen(rows, lambda encoding: encoding.word_ids)
        return padded([[NO_WORD if w is None else w for w in row] for row in words], NO_WORD)

    def _sequence_ids(self, rows: Sequence[Tokens]) -> np.ndarray:
        """Of each token, which text of a pair it is of: 0 or 1; -1 for a special token."""
        parts = _chosen(rows, lambda encoding: encoding.sequence_ids)
        return padded([[NO_TEXT if p is None else p for p in row] for row in parts], NO_TEXT)

    def _window(self, rows: Sequence[Tokens]) -> np.ndarray:
        """[rows, 2]: the text's row in the request, and the number of its first token here."""
        return np.array([(row.text.row, row.first) for row in rows], dtype=np.int64)

    def _texts(self, rows: Sequence[Tokens]) -> np.ndarray:
        """[rows, 1]: the text that may be slid over, of a pair the second, as far as it is read."""
        array = np.empty((len(rows), 1), dtype=object)
        contents: dict[int, bytes] = {}  # by row of the request: its windows share one object
        for target, row in zip(array, rows, strict=True):
            text = row.text
            if text.row not in contents:
                contents[text.row] = (text.content if text.pair is None else text.pair).encode()
            target[0] = contents[text.row]
        return array

    def _no_mask(self, row: Tokens) -> InvalidInput:
        mask, text = self._vocabulary.mask_token, row.text
        if row.truncated:
            return InvalidInput(
                f"{text.place}the text has no {mask} in its first {len(row.ids)} tokens, and was "
                f"truncated to them; put a {mask} there, or send a shorter text"
            )
        return InvalidInput(
            f"{text.place}the text has no mask token; write {mask} where a word is to be found"
        )


def _chosen(
    rows: Sequence[Tokens], of_each: Callable[[tokenizers.Encoding], Sequence[T]]
) -> Iterator[list[T]]:
    """For each row, of one value for each of its encoding's tokens those of the tokens kept.

    The windows over a text share its encoding, which makes such a list anew each time.
    """
    for encoding, same in groupby(rows, lambda row: row.encoding):
        values = of_each(encoding)
        for row in same:
            yield [values[i] for i in row.kept]


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
