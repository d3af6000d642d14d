"""BERT in plain TensorFlow: a tf.Module that holds the weights by canonical name.

Dense weights are [out, in], as checkpoints store them. Batch and length are dynamic throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import Activation, BertConfig
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.options import GraphOptions, Pooling, Task
from trivet_backends.workshop.tensor_files import Float32

Tensor = Any  # tf.Tensor; TensorFlow ships no types that a checker could use

_MASKED = -10_000.0  # added to a masked key's score: exp() of it is zero
_ACTIVATE: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    Activation.GELU: partial(tf.nn.gelu, approximate=False),
    Activation.GELU_TANH: partial(tf.nn.gelu, approximate=True),
    Activation.RELU: tf.nn.relu,
    Activation.SILU: tf.nn.silu,
    Activation.TANH: tf.tanh,
}


class PlainBert(tf.Module):
    """One BERT; called with int64 [batch, tokens] inputs by name, answers by name."""

    def __init__(
        self, config: BertConfig, weights: Mapping[str, Float32], options: GraphOptions
    ) -> None:
        super().__init__()
        self.config, self.options = config, options
        # Slashes, not dots: a SavedModel shows its variables under these names.
        self.tensors = {
            name: tf.Variable(array, trainable=False, name=name.replace(".", "/"))
            for name, array in weights.items()
        }

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The head's outputs; inputs in the order of the graph's."""
        return _ANSWER[self.options.task](self, *inputs)

    def hidden_states(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor:
        """float32 [batch, tokens, hidden]."""
        words = tf.gather(self.tensors[names.WORD_EMBEDDINGS], input_ids)
        types = tf.gather(self.tensors[names.TYPE_EMBEDDINGS], token_type_ids)
        positions = self.tensors[names.POSITION_EMBEDDINGS][: tf.shape(input_ids)[1]]
        hidden = self.norm(names.EMBEDDINGS_NORM, words + positions + types)
        masked = tf.cast(attention_mask == 0, tf.float32) * _MASKED
        bias = tf.expand_dims(tf.expand_dims(masked, 1), 1)  # TFLite knows no tf.newaxis
        for layer in range(self.config.layers):
            hidden = self._layer(names.layer_prefix(layer), hidden, bias)
        return hidden

    def _layer(self, prefix: str, hidden: Tensor, bias: Tensor) -> Tensor:
        context = self._attention(f"{prefix}.attention", hidden, bias)
        attended = self.norm(f"{prefix}.attention.output.LayerNorm", context + hidden)
        inner = self.activate(self.dense(f"{prefix}.intermediate.dense", attended))
        outer = self.dense(f"{prefix}.output.dense", inner)
        return self.norm(f"{prefix}.output.LayerNorm", outer + attended)

    def _attention(self, prefix: str, hidden: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (
            self._split_heads(self.dense(f"{prefix}.self.{part}", hidden))
            for part in ("query", "key", "value")
        )
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(self.config.head_size)
        context = tf.transpose(tf.matmul(tf.nn.softmax(scores + bias), value), [0, 2, 1, 3])
        return self.dense(f"{prefix}.output.dense", tf.reshape(context, tf.shape(hidden)))

    def _split_heads(self, projected: Tensor) -> Tensor:
        """[batch, tokens, hidden] to [batch, heads, tokens, head_size]."""
        shape = tf.shape(projected)
        heads = (self.config.heads, self.config.head_size)
        return tf.transpose(tf.reshape(projected, [shape[0], shape[1], *heads]), [0, 2, 1, 3])

    def dense(self, prefix: str, x: Tensor) -> Tensor:
        """x @ weight.T + bias with this prefix's weights."""
        weight, bias = self.tensors[f"{prefix}.weight"], self.tensors[f"{prefix}.bias"]
        flat = tf.reshape(x, [-1, weight.shape[1]])
        product = tf.matmul(flat, weight, transpose_b=True) + bias
        return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [weight.shape[0]]], 0))

    def norm(self, prefix: str, x: Tensor) -> Tensor:
        """LayerNorm with this prefix's weights."""
        mean = tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.square(x - mean), -1, keepdims=True)
        normal = (x - mean) * tf.math.rsqrt(variance + self.config.layer_norm_eps)
        return normal * self.tensors[f"{prefix}.weight"] + self.tensors[f"{prefix}.bias"]

    def activate(self, x: Tensor) -> Tensor:
        """The non-linearity of this BERT."""
        return _ACTIVATE[self.config.activation](x)


def embed(bert: PlainBert, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor, ...]:
    """embedding [batch, hidden], and last_hidden_state if the options say so."""
    hidden = bert.hidden_states(ids, mask, types)
    vectors = _POOL[bert.options.pooling](hidden, mask != 0)
    if bert.options.normalize:
        length = tf.sqrt(tf.reduce_sum(tf.square(vectors), -1, keepdims=True))
        vectors = vectors / tf.maximum(length, 1e-12)
    return (vectors, hidden) if bert.options.hidden_state else (vectors,)


def fill_mask(
    bert: PlainBert, ids: Tensor, mask: Tensor, types: Tensor, positions: Tensor
) -> tuple[Tensor, ...]:
    """token_ids and probabilities, [batch, masks, candidates], best first.

    What is answered at a position of -1, the padding, is for nobody to read.
    """
    hidden = bert.hidden_states(ids, mask, types)
    picked = tf.gather(hidden, tf.maximum(positions, 0), batch_dims=1)
    transformed = bert.activate(bert.dense(names.HEAD_DENSE, picked))
    vectors = bert.norm(names.HEAD_NORM, transformed)
    decoder = bert.tensors.get(names.DECODER_WEIGHT, bert.tensors[names.WORD_EMBEDDINGS])
    flat = tf.reshape(vectors, [-1, decoder.shape[1]])
    logits = tf.matmul(flat, decoder, transpose_b=True) + bert.tensors[names.DECODER_BIAS]
    best, token_ids = tf.math.top_k(tf.nn.softmax(logits), bert.options.candidates)
    shape = tf.concat([tf.shape(positions), [bert.options.candidates]], 0)
    return tf.cast(tf.reshape(token_ids, shape), tf.int64), tf.reshape(best, shape)


def trained(bert: PlainBert, ids: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor, ...]:
    """A head of `workshop/heads.py`: numbers for the first token, or for every token."""
    head = HEADS[bert.options.task]
    hidden = bert.hidden_states(ids, mask, types)
    if head.pooled:
        hidden = tf.tanh(bert.dense(names.POOLER, cls_pool(hidden, mask != 0)))
    logits = bert.dense(head.dense, hidden)
    match bert.options.task:
        case Task.ANSWER:
            return logits[..., 0], logits[..., 1]
        case Task.NEXT_SENTENCE:
            return (tf.nn.softmax(logits),)
    return (logits,)


# One entry for each head: (bert, *inputs) -> outputs in the order of the graph's.
_ANSWER: Mapping[Task, Callable[..., tuple[Tensor, ...]]] = {
    Task.EMBED: embed,
    Task.FILL_MASK: fill_mask,
    **dict.fromkeys(HEADS, trained),
}


def mean_pool(hidden: Tensor, present: Tensor) -> Tensor:
    """The mean over the tokens that are present (bool [batch, tokens])."""
    weight = tf.expand_dims(tf.cast(present, hidden.dtype), 2)
    return tf.reduce_sum(hidden * weight, 1) / tf.maximum(tf.reduce_sum(weight, 1), 1)


def cls_pool(hidden: Tensor, present: Tensor) -> Tensor:
    """The first present token; zero for a row without one."""
    weight = tf.cast(present, hidden.dtype)
    first = weight * tf.cast(tf.cumsum(weight, 1) == 1, hidden.dtype)
    return tf.reduce_sum(hidden * tf.expand_dims(first, 2), 1)


def max_pool(hidden: Tensor, present: Tensor) -> Tensor:
    """The largest value of each feature over the present tokens; zero for a row without one."""
    largest = tf.reduce_max(tf.where(tf.expand_dims(present, 2), hidden, hidden.dtype.min), 1)
    return tf.where(tf.reduce_any(present, 1, keepdims=True), largest, 0.0)


_POOL: Mapping[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    Pooling.MEAN: mean_pool,
    Pooling.CLS: cls_pool,
    Pooling.MAX: max_pool,
}
