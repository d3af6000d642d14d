"""Candidates of a masked language model to words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, ParameterValue, Tensors
from trivet_backends.parameters import Reader
from trivet_backends.tokenizers.loading import load_tokenizer

_MASKS = ("batch", "masks")
_CANDIDATES = (*_MASKS, "candidates")
_CHOSEN = (*_MASKS, "")

INPUTS = (
    TensorSpec(name="token_ids", datatype="INT64", dims=(-1, -1, -1), symbols=_CANDIDATES),
    TensorSpec(name="probabilities", datatype="FP32", dims=(-1, -1, -1), symbols=_CANDIDATES),
    TensorSpec(name="mask_positions", datatype="INT64", dims=(-1, -1), symbols=_MASKS),
    TensorSpec(
        name="target_ids",
        datatype="INT64",
        dims=(-1, -1),
        symbols=("batch", "targets"),
        optional=True,
    ),
    TensorSpec(
        name="target_probabilities",
        datatype="FP32",
        dims=(-1, -1, -1),
        symbols=(*_MASKS, "targets"),
        optional=True,
    ),
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
        target_ids, target_probabilities: int64 [rows, targets] and float32 [rows, masks, targets];
        the only candidates of a request that has them, in any order; one of -1 is none.
        Returns TOKEN, TOKEN_ID and PROBABILITY [rows, masks, top_k] and MASK_POSITION; a padded
        mask has candidates b"", -1 and 0.
        Raises InvalidInput: top_k out of range, shapes that disagree, an id of no word.
        """
        ids, probabilities = inputs["token_ids"], inputs["probabilities"]
        positions = inputs["mask_positions"]
        _check_shapes(ids, probabilities, positions)
        if "target_ids" in inputs and (inputs["target_ids"] >= 0).any():
            ids, probabilities = _of_targets(inputs, positions.shape)
            parameters = {**parameters, "top_k": _at_most(parameters, ids.shape[2])}
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


def _of_targets(inputs: Tensors, masks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The targets and their probabilities as candidates of each mask, best first.

    Raises InvalidInput: shapes that disagree, rows that differ in how many targets they have.
    """
    targets = inputs["target_ids"]
    chances = inputs.get("target_probabilities")
    if chances is None or chances.shape != (*masks, targets.shape[1]) or len(targets) != masks[0]:
        raise InvalidInput(
            "inputs 'target_ids' and 'target_probabilities' do not fit 'mask_positions'; send "
            "[rows, targets] and [rows, masks, targets]"
        )
    if (targets < 0).any():
        raise InvalidInput(
            "the texts of one request differ in how many targets they have; name as many for each, "
            "or send them in requests of their own"
        )
    order = np.argsort(-chances, axis=2, kind="stable")
    ids = np.take_along_axis(np.broadcast_to(targets[:, None, :], chances.shape), order, axis=2)
    return ids, np.take_along_axis(chances, order, axis=2)


def _at_most(parameters: Parameters, count: int) -> ParameterValue:
    """top_k, or all targets where there are fewer."""
    top_k = parameters.get("top_k", DEFAULT_TOP_K)
    return min(top_k, count) if isinstance(top_k, int) and not isinstance(top_k, bool) else top_k


def _top_k(parameters: Parameters, most: int) -> int:
    top_k = parameters.get("top_k", min(DEFAULT_TOP_K, most))
    if isinstance(top_k, int) and not isinstance(top_k, bool) and 1 <= top_k <= most:
        return top_k
    raise InvalidInput(f"parameter 'top_k' is {top_k!r}; send a whole number from 1 to {most}")
