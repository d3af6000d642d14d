"""Tiny artifacts, made in a moment: a WordPiece tokenizer and ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper
from tokenizers import models, normalizers, pre_tokenizers, processors

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "cat", "sat", "on", "mat", "door", "##s", "é")
VOCABULARY = (*SPECIALS, *WORDS)
PAD, UNK, CLS, SEP, MASK = range(5)

WIDTH = 4
EMBEDDINGS = np.random.default_rng(7).normal(size=(50, WIDTH)).astype(np.float32)


def ids_of(*words: str) -> list[int]:
    """The ids of these entries, special tokens around them."""
    return [CLS, *map(VOCABULARY.index, words), SEP]


def write_tokenizer(folder: Path) -> Path:
    """BERT's kind of tokenizer.json, with padding and truncation switched on as MiniLM has them."""
    vocabulary = {word: i for i, word in enumerate(VOCABULARY)}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.enable_padding(length=6)
    tokenizer.enable_truncation(max_length=4)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def write_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> Path:
    """Save a graph; opset and IR version are old enough for any engine we support."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(weights))
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def write_ragged_graph(path: Path) -> Path:
    """The sum of each request of a ragged batch, and every element doubled.

    x: FP32 [elements], ends and counts: INT32 [requests], as BATCH_ACCUMULATED_ELEMENT_COUNT and
    BATCH_ELEMENT_COUNT tell them -> sum FP32 [requests] and twice FP32 [elements].
    """
    weights = [
        numpy_helper.from_array(np.array([0], np.float32), "zero"),
        numpy_helper.from_array(np.array(0), "axis"),
    ]
    nodes = [
        helper.make_node("CumSum", ["x", "axis"], ["running"]),
        helper.make_node("Concat", ["zero", "running"], ["before"], axis=0),
        helper.make_node("Sub", ["ends", "counts"], ["starts"]),
        helper.make_node("Gather", ["before", "ends"], ["until_end"]),
        helper.make_node("Gather", ["before", "starts"], ["until_start"]),
        helper.make_node("Sub", ["until_end", "until_start"], ["sum"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
    ]
    return write_graph(
        path,
        nodes,
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["elements"]),
            helper.make_tensor_value_info("ends", TensorProto.INT32, ["requests"]),
            helper.make_tensor_value_info("counts", TensorProto.INT32, ["requests"]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["requests"]),
            helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["elements"]),
        ],
        weights,
    )


def write_optional_graph(path: Path) -> Path:
    """a + b, where b has the default (10, 20): both FP32 [batch, 2] -> sum FP32 [batch, 2]."""
    pair = ["batch", 2]
    return write_graph(
        path,
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, pair) for name in ("a", "b")],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, pair)],
        [numpy_helper.from_array(np.array([[10, 20]], np.float32), "b")],
    )


def write_pooling_graph(path: Path) -> Path:
    """Token vectors, and their mean over the mask: right in a batch only if padding is left out.

    input_ids, attention_mask: INT64 [batch, tokens] -> hidden FP32 [batch, tokens, 4] and
    embedding FP32 [batch, 4]. An id over 49 makes the engine fail.
    """
    weights = [
        numpy_helper.from_array(EMBEDDINGS, "embeddings"),
        numpy_helper.from_array(np.array([1]), "tokens_axis"),
        numpy_helper.from_array(np.array([2]), "width_axis"),
    ]
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["hidden"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "width_axis"], ["weight"]),
        helper.make_node("Mul", ["hidden", "weight"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens_axis"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["weight", "tokens_axis"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["embedding"]),
    ]
    tokens = ["batch", "tokens"]
    return write_graph(
        path,
        nodes,
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, tokens),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, tokens),
        ],
        [
            helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [*tokens, WIDTH]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH]),
        ],
        weights,
    )
