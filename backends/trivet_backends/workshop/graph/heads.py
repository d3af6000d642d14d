"""Graphs with a trained head: token ids in; logits of labels, of tokens or of answers out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trivet_backends.workshop import names
from trivet_backends.workshop.graph.builder import GraphBuilder
from trivet_backends.workshop.graph.encoder import Encoder, Order, attended_first, declare_inputs
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.options import Task

LOGITS = "logits"
START_LOGITS = "start_logits"
END_LOGITS = "end_logits"
PROBABILITIES = "probabilities"


def write_head(graph: GraphBuilder, encoder: Encoder, task: Task, labels: int) -> None:
    """Write the graph of one of HEADS into `graph`; every output is float32.

    labels: how many the head has, for classify and tag_tokens.
    classify: logits [batch, labels]. next_sentence: probabilities [batch, 2], that the second text
    follows and that it does not. Both see the first attended token.
    tag_tokens: logits [batch, tokens, labels]. answer: start_logits and end_logits [batch, tokens].
    Both in the order the tokens came; what stands at padding means nothing.
    """
    declare_inputs(graph)
    order = attended_first(graph)
    _WRITE[task](graph, encoder, order, labels)


def _classify(g: GraphBuilder, encoder: Encoder, order: Order, labels: int) -> None:
    logits = g.to_float32(_pooled(g, encoder, order, Task.CLASSIFY))
    g.output(logits, LOGITS, np.float32, ["batch", labels])


def _next_sentence(g: GraphBuilder, encoder: Encoder, order: Order, labels: int) -> None:
    logits = g.to_float32(_pooled(g, encoder, order, Task.NEXT_SENTENCE))
    g.output(g.node("Softmax", logits, axis=1), PROBABILITIES, np.float32, ["batch", 2])


def _tag_tokens(g: GraphBuilder, encoder: Encoder, order: Order, labels: int) -> None:
    logits = _of_each_token(g, encoder, order, Task.TAG_TOKENS)
    g.output(logits, LOGITS, np.float32, ["batch", "tokens", labels])


def _answer(g: GraphBuilder, encoder: Encoder, order: Order, labels: int) -> None:
    logits = _of_each_token(g, encoder, order, Task.ANSWER)
    for index, name in enumerate((START_LOGITS, END_LOGITS)):
        column = g.node("Gather", logits, g.integer(index), axis=2)
        g.output(column, name, np.float32, ["batch", "tokens"])


def _pooled(g: GraphBuilder, encoder: Encoder, order: Order, task: Task) -> str:
    """The head's numbers for each row, [batch, n]; only the first token's last layer is needed."""
    first = g.node("Squeeze", encoder.hidden_states(order, _first(g)), axes=[1])
    pooled = g.node("Tanh", encoder.dense(names.POOLER, first), name="pooler/tanh")
    return encoder.dense(HEADS[task].dense, pooled)


def _first(g: GraphBuilder) -> Callable[[str], str]:
    return lambda hidden: g.node("Slice", hidden, g.integers(0), g.integers(1), g.integers(1))


def _of_each_token(g: GraphBuilder, encoder: Encoder, order: Order, task: Task) -> str:
    """The head's numbers for each token, [batch, tokens, n], in the order the tokens came."""
    hidden = encoder.hidden_states(order, lambda hidden: hidden)
    logits = g.to_float32(encoder.dense(HEADS[task].dense, hidden))
    ranks = g.node("Unsqueeze", order.rank, axes=[2])
    return g.node("GatherND", logits, ranks, batch_dims=1, name="head/in_order")


_WRITE: dict[Task, Callable[[GraphBuilder, Encoder, Order, int], None]] = {
    Task.CLASSIFY: _classify,
    Task.NEXT_SENTENCE: _next_sentence,
    Task.TAG_TOKENS: _tag_tokens,
    Task.ANSWER: _answer,
}
