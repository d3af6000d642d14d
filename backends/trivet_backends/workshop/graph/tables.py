"""Word tables: an array [vocab, hidden] that turns ids into vectors, and vectors into logits.

A tied MLM head uses the word embeddings for both, so the file and the memory hold them once. The
table is the *left* operand of the decoder's product for that reason: ONNX Runtime packs a constant
right operand into a second copy (47 MB for a 30,522-word table of width 384).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from trivet_backends.workshop.graph.builder import GraphBuilder
from trivet_backends.workshop.tensor_files import Float32


class WordTable(Protocol):
    """One stored table; each method adds nodes to the graph."""

    def lookup(self, ids: str) -> str:
        """ids int64 [batch, tokens] to [batch, tokens, hidden] in the graph's float type."""

    def products(self, vectors: str) -> str:
        """vectors float32 [n, hidden] to their products with every row, float32 [n, vocab]."""


class FloatTable:
    """A table in the graph's own float type."""

    def __init__(self, graph: GraphBuilder, name: str, table: Float32) -> None:
        self._graph = graph
        self._table = graph.float_weight(name, table)

    def lookup(self, ids: str) -> str:
        """See WordTable."""
        return self._graph.node("Gather", self._table, ids, name="embeddings/word")

    def products(self, vectors: str) -> str:
        """See WordTable. Always in float32: FP16 logits would leave probabilities 3 digits."""
        g = self._graph
        columns = g.node("Transpose", vectors, perm=[1, 0])
        products = g.node("MatMul", g.to_float32(self._table), columns, name="head/decoder")
        return g.node("Transpose", products, perm=[1, 0])


class Int8Table:
    """A table of 8 bits with one scale per row: a quarter of the size, and hardly less exact.

    `products` quantizes each vector by itself, so that unlike ONNX Runtime's dynamic INT8 an answer
    does not depend on the neighbours in the batch.
    """

    _ZERO = 128  # rows are stored as uint8 around this value: uint8 x int8 is the fast product

    def __init__(self, graph: GraphBuilder, name: str, table: Float32) -> None:
        self._graph = graph
        scale = np.maximum(np.abs(table).max(axis=1), 1e-30) / 127
        stored = np.rint(table / scale[:, None]) + self._ZERO
        self._table = graph.weight(f"{name}.uint8", stored.astype(np.uint8))
        self._scale = graph.weight(f"{name}.scale", scale.astype(np.float32))

    def lookup(self, ids: str) -> str:
        """See WordTable."""
        g = self._graph
        rows = g.cast(g.node("Gather", self._table, ids, name="embeddings/word"), np.float32)
        scale = g.node("Gather", self._scale, ids)
        centred = g.node("Sub", rows, g.number(self._ZERO))
        return g.node("Mul", centred, g.node("Unsqueeze", scale, axes=[2]))

    def products(self, vectors: str) -> str:
        """See WordTable."""
        g = self._graph
        largest = g.node("ReduceMax", g.node("Abs", vectors), axes=[1], keepdims=1)  # [n, 1]
        step = g.node("Div", g.node("Max", largest, g.number(1e-30)), g.number(127.0))
        stored = g.cast(g.node("Round", g.node("Div", vectors, step)), np.int8)
        columns = g.node("Transpose", stored, perm=[1, 0])
        zero = g.weight("table_zero", np.array(self._ZERO, np.uint8))
        sums = g.node("MatMulInteger", self._table, columns, zero, name="head/decoder")
        products = g.node("Transpose", g.cast(sums, np.float32), perm=[1, 0])
        return g.node("Mul", g.node("Mul", products, self._scale), step)
