"""Candidates of a masked language model to words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Reader
from trivet_backends.tokenizers.loading import load_tokenizer

_MASKS = ("batch", "masks")
_CANDIDATES = (*_MASKS, "candidates")
_CHOSEN = (*_MASKS, "")

INPUTS = (
    TensorSpec(name="token_ids", datatype="INT64", dims=(-1, -1, -1), symbols=_CANDIDATES),
    TensorSpec(name="probabilities", datatype="FP32", dims=(-1, -1, -1), symbols=_CANDIDATES),
    TensorSpec(name="mask_positions", datatype="INT64", dims=(-1, -1), symbols=_MASKS),
)
OUTPUTS = (
    TensorSpec(name="TOKEN", datatype="BYTES", dims=(-1, -1, -1), symbols=_CHOSEN),
    TensorSpec(name="TOKEN_ID", datatype="INT64", dims=(-1, -1, -1), symbols=_CHOSEN),
    TensorSpec(name="PROBABILITY", datatype="FP32", dims=(-1, -1, -1), symbols=_CHOSEN),
    TensorSpec(name="MASK_POSITION", datatype="INT64", dims=(-1, -1), symbols=_MASKS),
)
DEFAULT_TOP_K = 5


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> FillMask:
    """Read the words of the version's tokenizer.json. Raises InvalidConfig if it cannot."""
    tokenizer = load_tokenizer(config, context)
    size = 1 + max(tokenizer.get_vocab().values())
    # Decoded, not looked up: a byte-level vocabulary writes " door" as "Ġdoor". 35 ms for BERT's.
    words = tokenizer.decode_batch([[i] for i in range(size)], skip_special_tokens=False)
    return FillMask(np.array([word.encode() for word in words], dtype=object))


@dataclass(frozen=True, slots=True)
class FillMask:
    """words: the vocabulary's texts by id, an object array of `bytes`."""

    words: np.ndarray

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """The best candidates of every mask.

        token_ids, probabilities: int64 and float32 [rows, masks, k], best first; mask_positions:
        int64 [rows, masks], -1 where a row has fewer masks. Parameter `top_k`: how many
        candidates, 1 to k; 5, or k if that is less, where the request does not say.
        Returns TOKEN, TOKEN_ID and PROBABILITY [rows, masks, top_k] and MASK_POSITION; a padded
        mask has candidates b"", -1 and 0.
        Raises InvalidInput: top_k out of range, shapes that disagree, an id of no word.
        """
        ids, probabilities = inputs["token_ids"], inputs["probabilities"]
        positions = inputs["mask_positions"]
        _check_shapes(ids, probabilities, positions)
        top_k = _top_k(parameters, most=ids.shape[2])
        is_padding = (positions < 0)[:, :, None]
        chosen = np.where(is_padding, -1, ids[:, :, :top_k])
        self._check_ids(chosen, is_padding)
        return {
            "TOKEN": np.where(is_padding, b"", self.words[chosen]).astype(object),
            "TOKEN_ID": chosen,
            "PROBABILITY": np.where(is_padding, np.float32(0), probabilities[:, :, :top_k]),
            "MASK_POSITION": np.where(positions < 0, -1, positions),
        }

    def _check_ids(self, chosen: np.ndarray, is_padding: np.ndarray) -> None:
        wrong = chosen[((chosen < 0) & ~is_padding) | (chosen >= len(self.words))]
        if wrong.size:
            raise InvalidInput(
                f"input 'token_ids' has {wrong[0]}; the vocabulary has {len(self.words)} words, so "
                f"send 0 to {len(self.words) - 1}, and the tokenizer.json of the model that gave it"
            )


def _check_shapes(ids: np.ndarray, probabilities: np.ndarray, positions: np.ndarray) -> None:
    if ids.shape != probabilities.shape or ids.shape[:2] != positions.shape:
        raise InvalidInput(
            "inputs 'token_ids', 'probabilities' and 'mask_positions' have shapes "
            f"{list(ids.shape)}, {list(probabilities.shape)} and {list(positions.shape)}; send "
            "[rows, masks, k] twice and [rows, masks]"
        )


def _top_k(parameters: Parameters, most: int) -> int:
    top_k = parameters.get("top_k", min(DEFAULT_TOP_K, most))
    if isinstance(top_k, int) and not isinstance(top_k, bool) and 1 <= top_k <= most:
        return top_k
    raise InvalidInput(f"parameter 'top_k' is {top_k!r}; send a whole number from 1 to {most}")
