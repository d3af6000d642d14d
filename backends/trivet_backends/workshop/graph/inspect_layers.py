"""Graph for a look inside: the hidden states and attention maps of every layer.

A graph of its own, since giving attention out keeps ONNX Runtime from fusing it, and since nobody
should wait for layers that are not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.graph.builder import GraphBuilder
from trivet_backends.workshop.graph.encoder import Encoder, Watch, attended_first, declare_inputs
from trivet_backends.workshop.graph.tables import FloatTable
from trivet_backends.workshop.tensor_files import Float32

if TYPE_CHECKING:
    from onnx import ModelProto

HIDDEN_STATES = "hidden_states"
ATTENTIONS = "attentions"


def inspect_graph(
    config: BertConfig, weights: Mapping[str, Float32], *, attentions: bool
) -> ModelProto:
    """Write the graph, in float32.

    Outputs: hidden_states float32 [batch, layers + 1, tokens, hidden], the embeddings first; where
    wanted, attentions float32 [batch, layers, heads, tokens, tokens]. Both in the order the tokens
    came. What stands at padding means nothing.
    """
    graph, watch = GraphBuilder("bert_inspect", np.float32), Watch()
    words = FloatTable(graph, names.WORD_EMBEDDINGS, weights[names.WORD_EMBEDDINGS])
    encoder = Encoder(graph, config, weights, words, watch)
    declare_inputs(graph)
    order = attended_first(graph)
    encoder.hidden_states(order, lambda hidden: hidden)
    ranks = graph.node("Unsqueeze", order.rank, axes=[2])
    states = _stacked(graph, watch.states)  # [batch, layers, tokens, hidden]
    states = _restored(graph, states, ranks, [0, 2, 1, 3], [0, 2, 1, 3])
    graph.output(
        states,
        HIDDEN_STATES,
        np.float32,
        ["batch", config.layers + 1, "tokens", config.hidden_size],
    )
    if attentions:
        maps = _stacked(graph, watch.maps)  # [batch, layers, heads, looking, looked at]
        maps = _restored(graph, maps, ranks, [0, 3, 1, 2, 4], [0, 4, 1, 2, 3])
        maps = _restored(graph, maps, ranks, None, [0, 3, 4, 2, 1])
        dims: list[str | int] = ["batch", config.layers, config.heads, "tokens", "tokens"]
        graph.output(maps, ATTENTIONS, np.float32, dims)
    return graph.model()


def _stacked(g: GraphBuilder, values: Sequence[str]) -> str:
    """One more dimension behind the batch, over the values."""
    return g.node("Concat", *(g.node("Unsqueeze", v, axes=[1]) for v in values), axis=1)


def _restored(
    g: GraphBuilder, value: str, ranks: str, tokens_first: list[int] | None, back: list[int]
) -> str:
    """Tokens in the order they came.

    tokens_first: puts the dimension of the tokens behind the batch, None where it is there; back:
    puts it where it is wanted.
    """
    if tokens_first:
        value = g.node("Transpose", value, perm=tokens_first)
    return g.node("Transpose", g.node("GatherND", value, ranks, batch_dims=1), perm=back)
