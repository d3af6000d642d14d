"""ONNX and OpenVINO: the graph that `trivet build` writes, written from the weights directly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trivet_backends.workshop.export.source import Source, signature
from trivet_backends.workshop.options import Format, GraphOptions, Precision
from trivet_backends.workshop.parity import run_graph
from trivet_backends.workshop.precision import write_graph

ONNX, OPENVINO = Format.ONNX.file, Format.OPENVINO.file


def write_onnx(source: Source, folder: Path) -> None:
    """model.onnx."""
    _write(source, folder / ONNX)


def write_openvino(source: Source, folder: Path) -> None:
    """model.xml and model.bin."""
    _write(source, folder / OPENVINO)


def run_graph_file(
    folder: Path, options: GraphOptions, inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """On the engine that the file is for, computing in f32."""
    path = folder / ONNX
    outputs = run_graph(path if path.is_file() else folder / OPENVINO, inputs)
    return [outputs[name] for name in signature(options).outputs]


def _write(source: Source, path: Path) -> None:
    write_graph(source.config, source.weights, source.options, Precision.FP32, path)
