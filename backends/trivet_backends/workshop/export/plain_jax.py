"""BERT in plain JAX: functions of the weights, a mapping of float32 arrays by canonical name.

Dense weights are [out, in], as checkpoints store them. Everything here can be traced with symbolic
batch and length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import Activation, BertConfig
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.options import GraphOptions, Pooling, Task

Weights = Mapping[str, Array]

_MASKED = -10_000.0  # added to a masked key's score: exp() of it is zero
_ACTIVATE: Mapping[Activation, Callable[[Array], Array]] = {
    Activation.GELU: partial(jax.nn.gelu, approximate=False),
    Activation.GELU_TANH: partial(jax.nn.gelu, approximate=True),
    Activation.RELU: jax.nn.relu,
    Activation.SILU: jax.nn.silu,
    Activation.TANH: jnp.tanh,
}


@dataclass(frozen=True, kw_only=True)  # no slots: jax.jit keeps weak references
class PlainBert:
    """One BERT's geometry and head; called with the weights and int [batch, tokens] inputs."""

    config: BertConfig
    options: GraphOptions

    def __call__(self, weights: Weights, *inputs: Array) -> tuple[Array, ...]:
        """The head's outputs; inputs in the order of the graph's."""
        return _ANSWER[self.options.task](self, weights, *inputs)

    def hidden_states(
        self, weights: Weights, input_ids: Array, attention_mask: Array, token_type_ids: Array
    ) -> Array:
        """float32 [batch, tokens, hidden]."""
        words = weights[names.WORD_EMBEDDINGS][input_ids]
        types = weights[names.TYPE_EMBEDDINGS][token_type_ids]
        positions = weights[names.POSITION_EMBEDDINGS][jnp.arange(input_ids.shape[1])]
        hidden = self.norm(weights, names.EMBEDDINGS_NORM, words + positions + types)
        bias = jnp.where(attention_mask != 0, 0.0, _MASKED)[:, None, None, :]
        for layer in range(self.config.layers):
            hidden = self._layer(weights, names.layer_prefix(layer), hidden, bias)
        return hidden

    def _layer(self, weights: Weights, prefix: str, hidden: Array, bias: Array) -> Array:
        context = self._attention(weights, f"{prefix}.attention", hidden, bias)
        attended = self.norm(weights, f"{prefix}.attention.output.LayerNorm", context + hidden)
        inner = self.activate(dense(weights, f"{prefix}.intermediate.dense", attended))
        outer = dense(weights, f"{prefix}.output.dense", inner)
        return self.norm(weights, f"{prefix}.output.LayerNorm", outer + attended)

    def _attention(self, weights: Weights, prefix: str, hidden: Array, bias: Array) -> Array:
        query, key, value = (
            self._split_heads(dense(weights, f"{prefix}.self.{part}", hidden))
            for part in ("query", "key", "value")
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(self.config.head_size)
        context = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores + bias), value)
        return dense(weights, f"{prefix}.output.dense", context.reshape(hidden.shape))

    def _split_heads(self, projected: Array) -> Array:
        """[batch, tokens, hidden] to [batch, tokens, heads, head_size]."""
        return projected.reshape(*projected.shape[:2], self.config.heads, self.config.head_size)

    def norm(self, weights: Weights, prefix: str, x: Array) -> Array:
        """LayerNorm with this prefix's weights."""
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        normal = (x - mean) / jnp.sqrt(variance + self.config.layer_norm_eps)
        return normal * weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]

    def activate(self, x: Array) -> Array:
        """The non-linearity of this BERT."""
        return _ACTIVATE[self.config.activation](x)


def dense(weights: Weights, prefix: str, x: Array) -> Array:
    """x @ weight.T + bias with this prefix's weights."""
    return x @ weights[f"{prefix}.weight"].T + weights[f"{prefix}.bias"]


def embed(
    bert: PlainBert, weights: Weights, ids: Array, mask: Array, types: Array
) -> tuple[Array, ...]:
    """embedding [batch, hidden], and last_hidden_state if the options say so."""
    hidden = bert.hidden_states(weights, ids, mask, types)
    vectors = _POOL[bert.options.pooling](hidden, mask != 0)
    if bert.options.normalize:
        length = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        vectors = vectors / jnp.maximum(length, 1e-12)
    return (vectors, hidden) if bert.options.hidden_state else (vectors,)


def fill_mask(
    bert: PlainBert, weights: Weights, ids: Array, mask: Array, types: Array, positions: Array
) -> tuple[Array, ...]:
    """token_ids and probabilities, [batch, masks, candidates], best first.

    What is answered at a position of -1, the padding, is for nobody to read.
    """
    hidden = bert.hidden_states(weights, ids, mask, types)
    picked = jnp.take_along_axis(hidden, jnp.maximum(positions, 0)[:, :, None], axis=1)
    transformed = bert.activate(dense(weights, names.HEAD_DENSE, picked))
    vectors = bert.norm(weights, names.HEAD_NORM, transformed)
    decoder = weights.get(names.DECODER_WEIGHT, weights[names.WORD_EMBEDDINGS])
    chances = jax.nn.softmax(vectors @ decoder.T + weights[names.DECODER_BIAS])
    best, token_ids = jax.lax.top_k(chances, bert.options.candidates)
    return token_ids, best


def trained(
    bert: PlainBert, weights: Weights, ids: Array, mask: Array, types: Array
) -> tuple[Array, ...]:
    """A head of `workshop/heads.py`: numbers for the first token, or for every token."""
    head = HEADS[bert.options.task]
    hidden = bert.hidden_states(weights, ids, mask, types)
    if head.pooled:
        hidden = jnp.tanh(dense(weights, names.POOLER, cls_pool(hidden, mask != 0)))
    logits = dense(weights, head.dense, hidden)
    match bert.options.task:
        case Task.ANSWER:
            return logits[..., 0], logits[..., 1]
        case Task.NEXT_SENTENCE:
            return (jax.nn.softmax(logits),)
    return (logits,)


# One entry for each head: (bert, weights, *inputs) -> outputs in the order of the graph's.
_ANSWER: Mapping[Task, Callable[..., tuple[Array, ...]]] = {
    Task.EMBED: embed,
    Task.FILL_MASK: fill_mask,
    **dict.fromkeys(HEADS, trained),
}


def mean_pool(hidden: Array, present: Array) -> Array:
    """The mean over the tokens that are present (bool [batch, tokens])."""
    weight = present[:, :, None].astype(hidden.dtype)
    return (hidden * weight).sum(1) / jnp.maximum(weight.sum(1), 1)


def cls_pool(hidden: Array, present: Array) -> Array:
    """The first present token; zero for a row without one."""
    first = present & (jnp.cumsum(present, axis=1) == 1)
    return (hidden * first[:, :, None]).sum(1)


def max_pool(hidden: Array, present: Array) -> Array:
    """The largest value of each feature over the present tokens; zero for a row without one."""
    largest = jnp.where(present[:, :, None], hidden, -jnp.inf).max(1)
    return jnp.where(present.any(1, keepdims=True), largest, 0.0)


_POOL: Mapping[Pooling, Callable[[Array, Array], Array]] = {
    Pooling.MEAN: mean_pool,
    Pooling.CLS: cls_pool,
    Pooling.MAX: max_pool,
}
