"""A small repository of every task that begins with texts, whose engines take next to no time.

The tokenizer is real and so is the engine: what differs from a real model is its size.
"""

from __future__ import annotations

from pathlib import Path

from tests.harness.artifacts import WIDTH, write_pooling_graph, write_tokenizer
from tests.harness.repositories import add_model

MAX_TOKENS = 64

_TOKENIZER = f"""
    backend: "tokenizers"
    max_batch_size: 64
    input {{ name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }}
    output [
      {{ name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] }},
      {{ name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }},
      {{ name: "token_type_ids" data_type: TYPE_INT64 dims: [ -1 ] }}
    ]
    dynamic_batching {{ }}
    parameters {{ key: "max_tokens" value {{ string_value: "{MAX_TOKENS}" }} }}
"""
_ENGINE = """
    backend: "onnxruntime"
    max_batch_size: 64
    dynamic_batching { max_queue_delay_microseconds: 2000 }
"""
_EMBED = f"""
    platform: "ensemble"
    max_batch_size: 64
    input {{ name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }}
    output {{ name: "EMBEDDING" data_type: TYPE_FP32 dims: [ {WIDTH} ] }}
    ensemble_scheduling {{
      step {{
        model_name: "words" model_version: -1
        input_map {{ key: "TEXT" value: "TEXT" }}
        output_map {{ key: "input_ids" value: "ids" }}
        output_map {{ key: "attention_mask" value: "mask" }}
      }}
      step {{
        model_name: "pooling" model_version: -1
        input_map {{ key: "input_ids" value: "ids" }}
        input_map {{ key: "attention_mask" value: "mask" }}
        output_map {{ key: "embedding" value: "EMBEDDING" }}
      }}
    }}
"""


def add_embedding(repository: Path) -> None:
    """The pipeline "embed" over the tokenizer "words" and the engine "pooling"."""
    write_tokenizer(add_model(repository, "words", _TOKENIZER) / "1")
    write_pooling_graph(add_model(repository, "pooling", _ENGINE) / "1" / "model.onnx")
    add_model(repository, "embed", _EMBED)
