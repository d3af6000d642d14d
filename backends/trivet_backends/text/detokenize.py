"""Ids of tokens back to text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Reader
from trivet_backends.tokenizers.sharing import Opened, open_tokenizer

INPUTS = (
    TensorSpec(name="input_ids", datatype="INT64", dims=(-1, -1), symbols=("batch", "tokens")),
)
OUTPUTS = (TensorSpec(name="TEXT", datatype="BYTES", dims=(-1, 1), symbols=("batch", "")),)
NO_TOKEN = -1  # pads a row that is shorter than others


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> Detokenize:
    """Read the version's tokenizer.json. Raises InvalidConfig if it cannot."""
    opened = open_tokenizer(config, context)
    return Detokenize(opened, 1 + max(opened.tokenizer.get_vocab().values()))


@dataclass(frozen=True, slots=True)
class Detokenize:
    """size: ids of the vocabulary, from 0."""

    opened: Opened
    size: int

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """TEXT [rows, 1] of input_ids, int64 [rows, tokens], in which -1 is padding.

        Parameter `keep_special` (bool): leave special tokens such as [CLS] in the text.
        Raises InvalidInput: an id that is none of the vocabulary, a parameter of another type.
        """
        keep_special = parameters.get("keep_special", False)
        if not isinstance(keep_special, bool):
            raise InvalidInput(f"parameter 'keep_special' is {keep_special!r}; send true or false")
        rows = [self._ids(row) for row in inputs["input_ids"]]
        decode = self.opened.tokenizer.decode_batch
        texts = decode(rows, skip_special_tokens=not keep_special)
        return {"TEXT": np.array([text.encode() for text in texts], dtype=object)[:, None]}

    def _ids(self, row: np.ndarray) -> list[int]:
        wrong = np.flatnonzero((row < NO_TOKEN) | (row >= self.size))
        if wrong.size:
            place = int(wrong[0])
            raise InvalidInput(
                f"token {place} has the id {row[place]}; the vocabulary has {self.size} tokens, so "
                f"send 0 to {self.size - 1}"
            )
        ids: list[int] = row[row != NO_TOKEN].tolist()
        return ids
