"""The BERT encoder as an ONNX graph.

Shaped for ONNX Runtime: the nodes of a layer stand as a plain Hugging Face export has them, which
its optimizer fuses into Attention, SkipLayerNormalization and BiasGelu. That fused Attention knows
a row's *length* only and takes everything behind it for padding, so a mask with holes or padding on
the left would give wrong answers. Therefore `attended_first` sorts each row's attended tokens to
the front; attention does not mind the order, as positions are added to the tokens before. In a row
padded on the right nothing moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import Activation, BertConfig
from trivet_backends.workshop.graph.builder import GraphBuilder
from trivet_backends.workshop.graph.tables import WordTable
from trivet_backends.workshop.tensor_files import Float32

# Lowers the score of padding. ONNX Runtime's fusion asks for a constant here; FP16 holds it.
MASKED_SCORE = -10_000.0
TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Each row sorted: attended tokens first, else as they came. All are int64 [batch, tokens]."""

    rank: str  # where in the sorted row the token of this place went
    original: str  # where the token at this place of the sorted row came from
    ids: str  # input_ids, sorted
    types: str  # token_type_ids, sorted
    present: str  # 1 where the sorted row has a token, 0 in the padding behind it


@dataclass(slots=True)
class Watch:
    """What of the layers is to be given out: filled while the encoder is written, in sorted order.

    states: [batch, tokens, hidden], the embeddings first, then each layer's; maps: of each layer
    [batch, heads, tokens, tokens]. To be looked at keeps attention from being fused.
    """

    states: list[str] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)


def declare_inputs(graph: GraphBuilder) -> None:
    """The inputs every BERT graph has, int64 [batch, tokens]."""
    for name in TOKEN_INPUTS:
        graph.input(name, np.int64, ["batch", "tokens"])


def attended_first(graph: GraphBuilder) -> Order:
    """Rank each token by counting, and scatter the rows by rank.

    Not by an operator that sorts: its result has no known shape, and ONNX Runtime fuses
    SkipLayerNormalization only where it can see that two shapes are the same.
    """
    g = graph
    axis = g.integer(1)
    absent_flag = g.node("Equal", "attention_mask", g.integer(0))
    absent = g.cast(absent_flag, np.int64)
    present = g.node("Sub", g.integer(1), absent)
    before = g.node("CumSum", present, axis, exclusive=1)
    absent_before = g.node("CumSum", absent, axis, exclusive=1)
    count = g.node("ReduceSum", present, axes=[1], keepdims=1)
    rank = g.node("Where", absent_flag, g.node("Add", count, absent_before), before)
    places = g.node("Add", before, absent_before)

    def scattered(values: str) -> str:
        return g.node("ScatterElements", values, rank, values, axis=1)

    return Order(
        rank=rank,
        original=scattered(places),
        ids=scattered("input_ids"),
        types=scattered("token_type_ids"),
        present=scattered(present),
    )


class Encoder:
    """Writes one encoder into a graph whose inputs are declared."""

    def __init__(
        self,
        graph: GraphBuilder,
        config: BertConfig,
        tensors: Mapping[str, Float32],
        words: WordTable,
        watch: Watch | None = None,
    ) -> None:
        self._graph = graph
        self._watch = watch
        self._config = config
        self._tensors = tensors
        self._words = words

    def hidden_states(self, order: Order, select: Callable[[str], str]) -> str:
        """The last hidden state in sorted order, [batch, tokens, hidden] in the graph's float type.

        select: picks from [batch, tokens, hidden] the places that are needed at all; the last
        layer's feed-forward part, two thirds of its work, is computed for those only.
        """
        hidden = self._embeddings(order)
        bias = self._mask_bias(order.present)
        if self._watch:
            self._watch.states.append(hidden)
        for layer in range(self._config.layers):
            prefix = names.layer_prefix(layer)
            hidden = self._attend(prefix, hidden, bias)
            if layer == self._config.layers - 1:
                hidden = select(hidden)
            hidden = self._feed_forward(prefix, hidden)
            if self._watch:
                self._watch.states.append(hidden)
        return hidden

    def _embeddings(self, order: Order) -> str:
        g = self._graph
        words = self._words.lookup(order.ids)
        total = g.node("Add", words, self._lookup(names.TYPE_EMBEDDINGS, order.types))
        # A token's position is the place it came from, not the place it was sorted to.
        total = g.node("Add", total, self._lookup(names.POSITION_EMBEDDINGS, order.original))
        return self.norm(names.EMBEDDINGS_NORM, total)

    def _lookup(self, name: str, indices: str) -> str:
        table = self._graph.float_weight(name, self._tensors[name])
        return self._graph.node("Gather", table, indices, name=name.replace(".", "/"))

    def _mask_bias(self, present: str) -> str:
        """0 for a token and MASKED_SCORE for padding, [batch, 1, 1, tokens]."""
        g = self._graph
        mask = g.node("Unsqueeze", g.node("Unsqueeze", present, axes=[1]), axes=[2])
        absent = g.node("Sub", g.number(1.0), g.cast(mask, g.floats))
        return g.node("Mul", absent, g.number(MASKED_SCORE), name="mask/bias")

    def _attend(self, prefix: str, hidden: str, bias: str) -> str:
        """Attention over all tokens, with its residual and norm."""
        g = self._graph
        here = f"{prefix}.attention"
        query = self._heads(f"{here}.self.query", hidden, perm=[0, 2, 1, 3])
        key = self._heads(f"{here}.self.key", hidden, perm=[0, 2, 3, 1])
        value = self._heads(f"{here}.self.value", hidden, perm=[0, 2, 1, 3])
        scale = g.number(math.sqrt(self._config.head_size))
        scores = g.node("Add", g.node("Div", g.node("MatMul", query, key), scale), bias)
        shares = g.node("Softmax", scores, axis=3)
        if self._watch:
            self._watch.maps.append(shares)
        context = g.node("MatMul", shares, value)
        context = g.node("Transpose", context, perm=[0, 2, 1, 3])
        context = g.node("Reshape", context, g.integers(0, 0, self._config.hidden_size))
        output = self.dense(f"{here}.output.dense", context)
        return self.norm(f"{here}.output.LayerNorm", g.node("Add", output, hidden))

    def _heads(self, name: str, hidden: str, perm: list[int]) -> str:
        g = self._graph
        shape = g.integers(0, 0, self._config.heads, self._config.head_size)
        return g.node("Transpose", g.node("Reshape", self.dense(name, hidden), shape), perm=perm)

    def _feed_forward(self, prefix: str, hidden: str) -> str:
        g = self._graph
        inner = self.activate(self.dense(f"{prefix}.intermediate.dense", hidden))
        output = self.dense(f"{prefix}.output.dense", inner)
        return self.norm(f"{prefix}.output.LayerNorm", g.node("Add", output, hidden))

    def dense(self, name: str, x: str) -> str:
        """x times a stored [out, in] weight, and its bias."""
        g = self._graph
        weight = g.float_weight(f"{name}.weight", self._tensors[f"{name}.weight"].T)
        bias = g.float_weight(f"{name}.bias", self._tensors[f"{name}.bias"])
        return g.node("Add", g.node("MatMul", x, weight, name=name.replace(".", "/")), bias)

    def norm(self, name: str, x: str) -> str:
        """Layer normalization; its statistics are float32 in every precision."""
        g = self._graph
        wide = g.to_float32(x)
        centred = g.node("Sub", wide, g.node("ReduceMean", wide, axes=[-1], keepdims=1))
        squares = g.node("Pow", centred, g.number(2.0, np.float32))
        variance = g.node("ReduceMean", squares, axes=[-1], keepdims=1)
        eps = g.number(self._config.layer_norm_eps, np.float32)
        deviation = g.node("Sqrt", g.node("Add", variance, eps))
        normal = g.to_floats(g.node("Div", centred, deviation))
        scale = g.float_weight(f"{name}.weight", self._tensors[f"{name}.weight"])
        shift = g.float_weight(f"{name}.bias", self._tensors[f"{name}.bias"])
        return g.node("Add", g.node("Mul", normal, scale), shift, name=name.replace(".", "/"))

    def activate(self, x: str) -> str:
        """The configured activation; the GELUs in the spellings that ONNX Runtime fuses."""
        g = self._graph
        match self._config.activation:
            case Activation.GELU:
                erf = g.node("Erf", g.node("Div", x, g.number(math.sqrt(2))))
                return g.node(
                    "Mul", g.node("Mul", x, g.node("Add", erf, g.number(1.0))), g.number(0.5)
                )
            case Activation.GELU_TANH:
                return self._gelu_tanh(x)
            case Activation.SILU:
                return g.node("Mul", x, g.node("Sigmoid", x))
            case Activation.RELU:
                return g.node("Relu", x)
            case Activation.TANH:
                return g.node("Tanh", x)

    def _gelu_tanh(self, x: str) -> str:
        g = self._graph
        cube = g.node("Mul", g.node("Pow", x, g.number(3.0)), g.number(0.044715))
        angle = g.node("Mul", g.node("Add", x, cube), g.number(math.sqrt(2 / math.pi)))
        gate = g.node("Add", g.node("Tanh", angle), g.number(1.0))
        return g.node("Mul", g.node("Mul", x, g.number(0.5)), gate)
