"""Words that a request names as the only candidates of its masks, as ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trivet.errors import InvalidInput
from trivet_backends.tokenizers.tensors import padded

if TYPE_CHECKING:
    import tokenizers

TARGET = "TARGET"
NO_TARGET = -1  # pads target_ids, and is all of it where a request names none


class Targets:
    """Looks words up in a vocabulary."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        unknown = getattr(tokenizer.model, "unk_token", None)
        self._unknown = tokenizer.token_to_id(unknown) if unknown else None

    def ids(self, words: np.ndarray | None, rows: int) -> np.ndarray:
        """int64 [rows, targets] of BYTES of that shape; [rows, 1] of NO_TARGET for None.

        An empty word is the padding of a row that has fewer than others.
        Raises InvalidInput, with the place and the cure: a row without a word, a word that is no
        single token of the vocabulary, two words that are the same token.
        """
        if words is None:
            return np.full((rows, 1), NO_TARGET, dtype=np.int64)
        return padded([self._row(row, place) for place, row in enumerate(words)], NO_TARGET)

    def _row(self, words: Sequence[bytes], row: int) -> list[int]:
        found: dict[int, str] = {}
        for place, word in enumerate(words):
            if not word:
                continue
            where = f"row {row}: targets[{place}]" if row else f"targets[{place}]"
            text = self._text(word, where)
            token = self._token(text, where)
            if token in found:
                raise InvalidInput(
                    f"{where}: {text!r} is the same token as {found[token]!r}; name it once"
                )
            found[token] = text
        if not found:
            raise InvalidInput("targets is empty; name at least one word, or leave it out")
        return list(found)

    @staticmethod
    def _text(word: bytes, where: str) -> str:
        try:
            return word.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{where} is not UTF-8; send UTF-8") from error

    def _token(self, text: str, where: str) -> int:
        """An entry of the vocabulary as it is written there, or else what the text becomes."""
        if (exact := self._tokenizer.token_to_id(text)) is not None:
            return int(exact)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids, pieces = encoding.ids, encoding.tokens
        if len(ids) == 1 and ids[0] != self._unknown:
            return int(ids[0])
        if not ids or self._unknown in ids:
            raise InvalidInput(
                f"{where}: {text!r} has characters that the vocabulary lacks; name another word"
            )
        told = ", ".join(repr(piece) for piece in pieces[:_SHOWN])
        told += ", ..." if len(pieces) > _SHOWN else ""
        raise InvalidInput(
            f"{where}: {text!r} is no single token, but {len(pieces)}: {told}; a mask stands for"
            " one token, so name a word that is one, or put as many masks into the text"
        )


_SHOWN = 8  # pieces of a word that a message names
