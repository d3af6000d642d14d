"""Fill-mask graph: token ids and mask positions in, the most likely tokens out.

The vocabulary is computed at mask positions only, and the k best are picked in the graph: for
BERT-base at 8 x 128 tokens that is 4 ms and 0.5 KB instead of 240 ms and 125 MB.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trivet_backends.workshop import names
from trivet_backends.workshop.graph.builder import GraphBuilder
from trivet_backends.workshop.graph.encoder import Encoder, Order, attended_first, declare_inputs
from trivet_backends.workshop.graph.tables import WordTable
from trivet_backends.workshop.options import GraphOptions
from trivet_backends.workshop.tensor_files import Float32

MASK_POSITIONS = "mask_positions"
TOKEN_IDS = "token_ids"
PROBABILITIES = "probabilities"
TARGET_IDS = "target_ids"
TARGET_PROBABILITIES = "target_probabilities"


def write_fill_mask(
    graph: GraphBuilder,
    encoder: Encoder,
    decoder: WordTable,
    tensors: Mapping[str, Float32],
    options: GraphOptions,
) -> None:
    """Write the graph into `graph`.

    Input besides the tokens: mask_positions int64 [batch, masks]. Any value is safe; for one that
    is no token of the row (-1 is the padding) the first token is looked at.
    Outputs: token_ids int64 and probabilities float32, both [batch, masks, candidates], best first;
    probabilities are those of the whole vocabulary.
    Input target_ids int64 [batch, targets] may be left out; target_probabilities float32 [batch,
    masks, targets] are those of these tokens, wherever they stand among the best. For an
    engine that knows no input with a default, the writer of its file takes away the default
    (OpenVINO, for a pipeline), or the input and the output (TensorRT).
    """
    g = graph
    candidates = options.candidates
    declare_inputs(g)
    g.input(MASK_POSITIONS, np.int64, ["batch", "masks"])
    order = attended_first(g)
    index = g.node("Unsqueeze", _ranks(g, order), axes=[2])
    hidden = encoder.hidden_states(
        order, lambda hidden: g.node("GatherND", hidden, index, batch_dims=1, name="head/pick")
    )
    logits = _logits(g, encoder, decoder, tensors, hidden)  # [batch * masks, vocab]
    # Softmax before TopK, though only k of its values are kept: its sum over the vocabulary is
    # exact to 1e-7, that of ReduceLogSumExp to 1e-4.
    chances = g.node("Softmax", logits, axis=1)
    best, ids = g.nodes(
        "TopK", chances, g.integers(candidates), name="head/best", outputs=2, axis=1
    )
    place = _places(g)
    dims: list[str | int] = ["batch", "masks", candidates]
    g.output(g.node("Gather", ids, place, axis=0), TOKEN_IDS, np.int64, dims)
    g.output(g.node("Gather", best, place, axis=0), PROBABILITIES, np.float32, dims)
    of_targets = g.node("GatherElements", chances, _targets_of_masks(g), axis=1)
    g.output(
        g.node("Gather", of_targets, place, axis=0),
        TARGET_PROBABILITIES,
        np.float32,
        ["batch", "masks", "targets"],
    )


def _targets_of_masks(g: GraphBuilder) -> str:
    """The targets of each mask's row, int64 [batch * masks, targets]; padding asks for token 0."""
    # One row and no target, where the input is left out.
    g.weight(TARGET_IDS, np.array([[-1]], np.int64))
    g.input(TARGET_IDS, np.int64, ["batch", "targets"])
    ids = g.node("Max", TARGET_IDS, g.integer(0))
    row = g.node("Reshape", _rows(g), g.integers(-1))
    rows = g.node("Slice", g.node("Shape", MASK_POSITIONS), g.integers(0), g.integers(1))
    every_row = g.node("Expand", ids, g.node("Concat", rows, g.integers(1), axis=0))
    return g.node("Gather", every_row, row, axis=0)


def _ranks(g: GraphBuilder, order: Order) -> str:
    """Where each mask's token is in the sorted row, int64 [batch, masks].

    A position behind the row's tokens must not read padding: how much there is depends on the
    batch, and the answer must not.
    """
    tokens = g.node("Gather", g.node("Shape", "input_ids"), g.integers(1))
    last = g.node("Sub", tokens, g.integers(1))
    inside = g.node("Min", g.node("Max", MASK_POSITIONS, g.integers(0)), last)
    rank = g.node("GatherElements", order.rank, inside, axis=1)
    count = g.node("ReduceSum", order.present, axes=[1], keepdims=1)
    is_token = g.node("And", g.node("Equal", inside, MASK_POSITIONS), g.node("Less", rank, count))
    return g.node("Where", is_token, rank, g.integer(0))


def _places(g: GraphBuilder) -> str:
    """Which of all masks each one is, int64 [batch, masks]: takes [batch * masks, k] apart again.

    Not by Reshape: in this opset it cannot make a dimension of 0, and a request may hold no mask.
    """
    shape = g.node("Shape", MASK_POSITIONS)
    ones = g.node("Expand", g.integer(1), shape)
    column = g.node("CumSum", ones, g.integer(1), exclusive=1)
    masks = g.node("Gather", shape, g.integers(1))
    return g.node("Add", g.node("Mul", _rows(g), masks), column)


def _rows(g: GraphBuilder) -> str:
    """Which row each mask is of, int64 [batch, masks]."""
    ones = g.node("Expand", g.integer(1), g.node("Shape", MASK_POSITIONS))
    return g.node("CumSum", ones, g.integer(0), exclusive=1)


def _logits(
    g: GraphBuilder,
    encoder: Encoder,
    decoder: WordTable,
    tensors: Mapping[str, Float32],
    hidden: str,
) -> str:
    """hidden [batch, masks, hidden] to logits float32 [batch * masks, vocab]."""
    transformed = encoder.activate(encoder.dense(names.HEAD_DENSE, hidden))
    vectors = g.to_float32(encoder.norm(names.HEAD_NORM, transformed))
    hidden_size = tensors[f"{names.HEAD_DENSE}.bias"].shape[0]
    flat = g.node("Reshape", vectors, g.integers(-1, hidden_size))
    bias = g.weight(names.DECODER_BIAS, tensors[names.DECODER_BIAS])
    return g.node("Add", decoder.products(flat), bias, name="head/logits")
