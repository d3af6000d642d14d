"""Embedding graph: token ids in, one vector per row out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trivet_backends.workshop.graph.builder import GraphBuilder
from trivet_backends.workshop.graph.encoder import Encoder, Order, attended_first, declare_inputs
from trivet_backends.workshop.options import GraphOptions, Pooling

EMBEDDING = "embedding"
LAST_HIDDEN_STATE = "last_hidden_state"


def write_embed(
    graph: GraphBuilder,
    encoder: Encoder,
    hidden_size: int,
    options: GraphOptions,
) -> None:
    """Write the graph into `graph`.

    Outputs: embedding float32 [batch, hidden], a zero vector for a row without a token; and
    last_hidden_state float32 [batch, tokens, hidden], in the order the tokens came, if wanted.
    """
    g = graph
    declare_inputs(g)
    order = attended_first(g)
    needs_all = options.hidden_state or options.pooling is not Pooling.CLS
    hidden = encoder.hidden_states(order, _everything if needs_all else _first(g))
    hidden = g.to_float32(hidden)
    pooled = _POOL[options.pooling](g, hidden, order)
    if options.normalize:
        pooled = _normalize(g, pooled)
    g.output(pooled, EMBEDDING, np.float32, ["batch", hidden_size])
    if options.hidden_state:
        ranks = g.node("Unsqueeze", order.rank, axes=[2])
        restored = g.node("GatherND", hidden, ranks, batch_dims=1)
        g.output(restored, LAST_HIDDEN_STATE, np.float32, ["batch", "tokens", hidden_size])


def _everything(hidden: str) -> str:
    return hidden


def _first(g: GraphBuilder) -> Callable[[str], str]:
    return lambda hidden: g.node("Slice", hidden, g.integers(0), g.integers(1), g.integers(1))


def _mean(g: GraphBuilder, hidden: str, order: Order) -> str:
    # Cast first: an Unsqueeze shared with the attention mask would keep that from being fused.
    mask = g.node("Unsqueeze", g.cast(order.present, np.float32), axes=[1])
    total = g.node("Squeeze", g.node("MatMul", mask, hidden, name="pool/sum"), axes=[1])
    count = g.node("ReduceSum", mask, axes=[2], keepdims=0)
    return g.node("Div", total, g.node("Max", count, _float32(g, 1.0)))


def _cls(g: GraphBuilder, hidden: str, order: Order) -> str:
    """The first attended token; sorting has put it in front, wherever the padding was."""
    first = g.node("Squeeze", _first(g)(hidden), axes=[1])
    return g.node("Mul", first, _has_tokens(g, order))


def _max(g: GraphBuilder, hidden: str, order: Order) -> str:
    """Padding is moved far below before the maximum is taken; a row without a token is zero."""
    present = g.cast(g.node("Unsqueeze", order.present, axes=[2]), np.float32)
    depth = g.node("Mul", g.node("Sub", present, _float32(g, 1.0)), _float32(g, 1e9))
    largest = g.node("ReduceMax", g.node("Add", hidden, depth), axes=[1], keepdims=0)
    return g.node("Mul", largest, _has_tokens(g, order))


def _has_tokens(g: GraphBuilder, order: Order) -> str:
    """1 for a row with a token, else 0; float32 [batch, 1]."""
    return g.cast(g.node("ReduceMax", order.present, axes=[1], keepdims=1), np.float32)


def _normalize(g: GraphBuilder, pooled: str) -> str:
    length = g.node("ReduceL2", pooled, axes=[1], keepdims=1)
    return g.node("Div", pooled, g.node("Max", length, _float32(g, 1e-12)), name="pool/normalize")


def _float32(g: GraphBuilder, value: float) -> str:
    return g.number(value, np.float32)


_POOL: dict[Pooling, Callable[[GraphBuilder, str, Order], str]] = {
    Pooling.MEAN: _mean,
    Pooling.CLS: _cls,
    Pooling.MAX: _max,
}
