"""A graph in FP32, FP16 or INT8, written to a file: for OpenVINO by `openvino_file`, else as here.

FP16: weights and arithmetic are half; layer norms, pooling, the decoder and softmax stay float32.
On x86 ONNX Runtime has no FP16 arithmetic and computes in float32 between casts, so that there it
halves the file and not the time.

INT8: weights per output channel, activations per tensor while running (`quantize_dynamic`). The
graph is fused first, as ONNX Runtime turns a quantized Attention into QAttention but does not fuse
quantized products into one; the file therefore holds ONNX Runtime's own operators. Dynamic means
that a row's answer depends a little on its neighbours in the batch; word tables are exempt
(`graph/tables.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.graph.model import bert_graph
from trivet_backends.workshop.openvino_file import write_openvino
from trivet_backends.workshop.options import Format, GraphOptions, Precision
from trivet_backends.workshop.tensor_files import Float32
from trivet_backends.workshop.tensorrt import write_plan

if TYPE_CHECKING:
    from onnx import ModelProto


def write_graph(
    config: BertConfig,
    weights: Mapping[str, Float32],
    options: GraphOptions,
    precision: Precision,
    path: Path,
    *,
    always_fed: bool = False,
) -> None:
    """Write the graph to `path`; files it needs on the way are made and removed beside it.

    Its name tells the format. always_fed: inputs that could be left out will not be. OpenVINO takes
    an input with a default for a constant, so there they are inputs only then.
    Raises InvalidConfig if the weights do not fit into one ONNX file.
    """
    if path.name == Format.OPENVINO.file:
        model = bert_graph(config, weights, options)
        if always_fed:
            remove_defaults(model)
        _write_openvino(model, precision, path)
        return
    if path.name == Format.TENSORRT.file:
        floats = np.float16 if precision is Precision.FP16 else np.float32
        model = bert_graph(config, weights, options, floats=floats)
        write_plan(model, config.max_positions, path)
        return
    match precision:
        case Precision.FP32:
            _save(bert_graph(config, weights, options), path)
        case Precision.FP16:
            _save(bert_graph(config, weights, options, floats=np.float16), path)
        case Precision.INT8:
            _write_int8(bert_graph(config, weights, options, int8_tables=True), path)


def _save(model: ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString())


def _write_openvino(model: ModelProto, precision: Precision, path: Path) -> None:
    plain = path.with_suffix(".onnx")
    try:
        _save(model, plain)
        write_openvino(plain, precision, path)
    finally:
        plain.unlink(missing_ok=True)


def remove_defaults(model: ModelProto) -> None:
    """Make inputs that may be left out inputs that may not."""
    inputs = {value.name for value in model.graph.input}
    weights = model.graph.initializer
    for place in reversed(range(len(weights))):
        if weights[place].name in inputs:
            del weights[place]


def _write_int8(model: ModelProto, path: Path) -> None:
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, fused = path.with_suffix(".plain"), path.with_suffix(".fused")
    try:
        _save(model, plain)
        fuse(plain, fused)
        with without_advice():
            quantize_dynamic(
                fused,
                path,
                op_types_to_quantize=["MatMul", "Attention"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={
                    "MatMulConstBOnly": True,
                    # Shape inference does not know the fused operators' types; all are float32.
                    "DefaultTensorType": TensorProto.FLOAT,
                },
            )
    finally:
        plain.unlink(missing_ok=True)
        fused.unlink(missing_ok=True)


def fuse(source: Path, target: Path) -> None:
    """Have ONNX Runtime write the graph as it would run it, machine-independent parts only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3  # it warns that the result is for ONNX Runtime; we know
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


@contextmanager
def without_advice() -> Iterator[None]:
    """Drop what the quantizer logs to the root logger: advice to do what has just been done."""
    root = logging.getLogger()
    root.addFilter(_drop)
    try:
        yield
    finally:
        root.removeFilter(_drop)


def _drop(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING
