"""One BERT graph from weights and options, in one of the float types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.graph.builder import GraphBuilder
from trivet_backends.workshop.graph.embed import write_embed
from trivet_backends.workshop.graph.encoder import Encoder
from trivet_backends.workshop.graph.fill_mask import write_fill_mask
from trivet_backends.workshop.graph.heads import write_head
from trivet_backends.workshop.graph.tables import FloatTable, Int8Table
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.options import GraphOptions, Task
from trivet_backends.workshop.tensor_files import Float32

if TYPE_CHECKING:
    from onnx import ModelProto


def bert_graph(
    config: BertConfig,
    weights: Mapping[str, Float32],
    options: GraphOptions,
    *,
    floats: type[np.floating] = np.float32,
    int8_tables: bool = False,
) -> ModelProto:
    """Write the graph of `options.task`.

    floats: float32 or float16, for weights and arithmetic; inputs and outputs do not change.
    int8_tables: store the word embeddings, and an untied decoder, in 8 bits.
    Raises InvalidConfig if the weights do not fit into one file.
    """
    graph = GraphBuilder(f"bert_{options.task}", floats)
    table = Int8Table if int8_tables else FloatTable
    words = table(graph, names.WORD_EMBEDDINGS, weights[names.WORD_EMBEDDINGS])
    encoder = Encoder(graph, config, weights, words)
    if options.task is Task.EMBED:
        write_embed(graph, encoder, config.hidden_size, options)
    elif head := HEADS.get(options.task):
        labels = weights[f"{head.dense}.bias"].shape[0]
        write_head(graph, encoder, options.task, labels)
    else:
        untied = weights.get(names.DECODER_WEIGHT)
        decoder = words if untied is None else table(graph, names.DECODER_WEIGHT, untied)
        write_fill_mask(graph, encoder, decoder, weights, options)
    return graph.model()
