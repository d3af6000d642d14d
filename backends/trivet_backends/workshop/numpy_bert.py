"""BERT in plain numpy: the reference every built graph is compared with.

Written to be read beside the paper (Devlin et al. 2019, https://arxiv.org/abs/1810.04805), not to
be fast. Weights are float32 by canonical name (`names.py`); dense weights are [out, in].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from trivet_backends.workshop import names
from trivet_backends.workshop.activations import ACTIVATE
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.options import Pooling, Task
from trivet_backends.workshop.tensor_files import Float32

# What a masked key's score is lowered by: far below any score, and exp() of it is zero.
_MASKED = np.float32(-10_000.0)


class NumpyBert:
    """One BERT's forward pass; inputs are int64 [batch, tokens] each."""

    def __init__(self, config: BertConfig, tensors: Mapping[str, Float32]) -> None:
        self._config = config
        self._tensors = tensors

    def hidden_states(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray
    ) -> Float32:
        """The last hidden state, float32 [batch, tokens, hidden]; the mask may have holes."""
        hidden = self._embeddings(input_ids, token_type_ids)
        bias = np.where(attention_mask != 0, np.float32(0), _MASKED)[:, None, None, :]
        for layer in range(self._config.layers):
            hidden = self._layer(names.layer_prefix(layer), hidden, bias)
        return hidden

    def embedding(
        self,
        input_ids: np.ndarray,
        attention_mask: np.ndarray,
        token_type_ids: np.ndarray,
        *,
        pooling: Pooling = Pooling.MEAN,
        normalize: bool = True,
    ) -> Float32:
        """One vector per row, float32 [batch, hidden]; a row without a token is zero."""
        hidden = self.hidden_states(input_ids, attention_mask, token_type_ids)
        return pooled(hidden, attention_mask, pooling=pooling, normalize=normalize)

    def mask_probabilities(
        self,
        input_ids: np.ndarray,
        attention_mask: np.ndarray,
        token_type_ids: np.ndarray,
        mask_positions: np.ndarray,
    ) -> Float32:
        """Probabilities of the whole vocabulary, float32 [batch, masks, vocab].

        mask_positions: int64 [batch, masks]; what stands at a position of -1 is meaningless.
        """
        hidden = self.hidden_states(input_ids, attention_mask, token_type_ids)
        picked = np.take_along_axis(hidden, np.maximum(mask_positions, 0)[:, :, None], axis=1)
        return softmax(self._logits(picked))

    def head_logits(
        self,
        task: Task,
        input_ids: np.ndarray,
        attention_mask: np.ndarray,
        token_type_ids: np.ndarray,
    ) -> Float32:
        """What the trained head of a task gives: [batch, n] if it sees the pooled first token, else
        [batch, tokens, n].

        The first token is the first present one, [CLS], on whichever side the padding is.
        """
        head = HEADS[task]
        hidden = self.hidden_states(input_ids, attention_mask, token_type_ids)
        if head.pooled:
            first = cls_pool(hidden, attention_mask != 0)
            hidden = np.tanh(self._dense(names.POOLER, first))
        return self._dense(head.dense, hidden)

    def _embeddings(self, input_ids: np.ndarray, token_type_ids: np.ndarray) -> Float32:
        words = self._tensors[names.WORD_EMBEDDINGS][input_ids]
        types = self._tensors[names.TYPE_EMBEDDINGS][token_type_ids]
        positions = self._tensors[names.POSITION_EMBEDDINGS][: input_ids.shape[1]]
        return self._norm(names.EMBEDDINGS_NORM, words + types + positions)

    def _layer(self, prefix: str, hidden: Float32, bias: np.ndarray) -> Float32:
        context = self._attention(f"{prefix}.attention", hidden, bias)
        attended = self._norm(f"{prefix}.attention.output.LayerNorm", context + hidden)
        inner = self._activate(self._dense(f"{prefix}.intermediate.dense", attended))
        outer = self._dense(f"{prefix}.output.dense", inner)
        return self._norm(f"{prefix}.output.LayerNorm", outer + attended)

    def _attention(self, prefix: str, hidden: Float32, bias: np.ndarray) -> Float32:
        query, key, value = (
            self._split_heads(self._dense(f"{prefix}.self.{part}", hidden))
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.float32(math.sqrt(self._config.head_size))
        context = (softmax(scores + bias) @ value).swapaxes(1, 2).reshape(hidden.shape)
        return self._dense(f"{prefix}.output.dense", context)

    def _split_heads(self, projected: Float32) -> Float32:
        """[batch, tokens, hidden] to [batch, heads, tokens, head_size]."""
        batch, tokens, _ = projected.shape
        shape = (batch, tokens, self._config.heads, self._config.head_size)
        return projected.reshape(shape).swapaxes(1, 2)

    def _logits(self, hidden: Float32) -> Float32:
        transformed = self._activate(self._dense(names.HEAD_DENSE, hidden))
        tied = self._tensors[names.WORD_EMBEDDINGS]
        decoder = self._tensors.get(names.DECODER_WEIGHT, tied)
        return (
            self._norm(names.HEAD_NORM, transformed) @ decoder.T + self._tensors[names.DECODER_BIAS]
        )

    def _dense(self, prefix: str, x: Float32) -> Float32:
        return x @ self._tensors[f"{prefix}.weight"].T + self._tensors[f"{prefix}.bias"]

    def _norm(self, prefix: str, x: Float32) -> Float32:
        scale, shift = self._tensors[f"{prefix}.weight"], self._tensors[f"{prefix}.bias"]
        return layer_norm(x, self._config.layer_norm_eps) * scale + shift

    def _activate(self, x: Float32) -> Float32:
        return ACTIVATE[self._config.activation](x.astype(np.float64)).astype(np.float32)


def pooled(
    hidden: Float32, attention_mask: np.ndarray, *, pooling: Pooling, normalize: bool
) -> Float32:
    """Hidden states [batch, tokens, hidden] to one vector per row, [batch, hidden]."""
    vectors = _POOL[pooling](hidden, attention_mask != 0)
    return normalized(vectors) if normalize else vectors


def layer_norm(x: Float32, eps: float) -> Float32:
    """Every vector brought to mean 0 and variance 1, with statistics in float64."""
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    normal: Float32 = (centred / np.sqrt(variance + eps)).astype(np.float32)
    return normal


def softmax(x: Float32) -> Float32:
    """Probabilities along the last axis."""
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    probabilities: Float32 = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def normalized(x: Float32) -> Float32:
    """Vectors of length one; a zero vector stays zero."""
    length = np.sqrt(np.square(x.astype(np.float64)).sum(axis=-1, keepdims=True))
    unit: Float32 = (x / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def mean_pool(hidden: Float32, present: np.ndarray) -> Float32:
    """The mean over the tokens that are `present` (bool [batch, tokens]).

    Source: Reimers & Gurevych 2019 (Sentence-BERT), section 3, MEAN strategy.
    """
    total = (hidden * present[:, :, None]).sum(axis=1)
    mean: Float32 = total / np.maximum(present.sum(axis=1, keepdims=True), 1)
    return mean.astype(np.float32)


def cls_pool(hidden: Float32, present: np.ndarray) -> Float32:
    """The first present token: [CLS], on whichever side the padding is."""
    first: Float32 = hidden[np.arange(len(hidden)), present.argmax(axis=1)]
    first *= present.any(axis=1, keepdims=True)
    return first


def max_pool(hidden: Float32, present: np.ndarray) -> Float32:
    """The largest value of each feature over the present tokens."""
    largest = np.where(present[:, :, None], hidden, -np.inf).max(axis=1)
    return np.where(present.any(axis=1, keepdims=True), largest, 0).astype(np.float32)


_POOL: Mapping[Pooling, Callable[[Float32, np.ndarray], Float32]] = {
    Pooling.MEAN: mean_pool,
    Pooling.CLS: cls_pool,
    Pooling.MAX: max_pool,
}
