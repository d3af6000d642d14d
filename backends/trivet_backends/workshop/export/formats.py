"""The formats that can be written: by what, with what, and how each is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from trivet_backends.workshop.export import (
    to_coreml,
    to_graph,
    to_jax,
    to_tensorflow,
    to_torch,
    to_weights,
)
from trivet_backends.workshop.export.source import Source
from trivet_backends.workshop.options import GraphOptions

Run = Callable[[Path, GraphOptions, Mapping[str, np.ndarray]], list[np.ndarray]]


class ExportFormat(StrEnum):
    """What `--to` may say; also the name of the format's folder."""

    COREML = "coreml"
    JAX = "jax"
    ONNX = "onnx"
    OPENVINO = "openvino"
    PT2 = "pt2"
    PYTORCH = "pytorch"
    SAFETENSORS = "safetensors"
    SAVED_MODEL = "saved_model"
    TFLITE = "tflite"
    TORCHSCRIPT = "torchscript"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one format is written and checked. Each function is called in a process of its own.

    write: (source, new folder). run: (folder, options, inputs) -> outputs in their order.
    inspect, where nothing can be run: (source, folder) -> the largest difference of a weight, or
    None; raises InvalidConfig if something is wrong.
    backend: of trivet's own, which serves `file`.
    """

    about: str
    file: str
    write: Callable[[Source, Path], None]
    run: Run | None = None
    inspect: Callable[[Source, Path], float | None] | None = None
    checked: str = "run"
    packages: tuple[str, ...] = ()
    extra: str = ""
    backend: str = ""

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.packages if find_spec(package) is None]


_TORCH = ("torch",)
WAYS: Mapping[ExportFormat, Way] = {
    ExportFormat.COREML: Way(
        about="model.mlpackage for Apple's systems, in FP32",
        file=to_coreml.PACKAGE,
        write=to_coreml.write_coreml,
        inspect=to_coreml.inspect_coreml,
        checked="structure only",
        packages=("coremltools", "torch"),
        extra="coreml",
    ),
    ExportFormat.JAX: Way(
        about="jax.export's StableHLO, and the weights it takes",
        file=to_jax.PROGRAM,
        write=to_jax.write_jax,
        run=to_jax.run_jax,
        packages=("jax",),
        extra="jax",
    ),
    ExportFormat.ONNX: Way(
        about="model.onnx, as trivet build writes it",
        file=to_graph.ONNX,
        write=to_graph.write_onnx,
        run=to_graph.run_graph_file,
        packages=("onnx", "onnxruntime"),
        extra="workshop",
        backend="onnxruntime",
    ),
    ExportFormat.OPENVINO: Way(
        about="model.xml and model.bin",
        file=to_graph.OPENVINO,
        write=to_graph.write_openvino,
        run=to_graph.run_graph_file,
        packages=("onnx", "openvino"),
        extra="openvino",
        backend="openvino",
    ),
    ExportFormat.PT2: Way(
        about="torch.export's program",
        file=to_torch.EXPORTED,
        write=to_torch.write_exported,
        run=to_torch.run_exported,
        packages=_TORCH,
        extra="torch",
        backend="torch",
    ),
    ExportFormat.PYTORCH: Way(
        about="pytorch_model.bin, a checkpoint for transformers",
        file=to_torch.STATE,
        write=to_torch.write_state,
        run=to_torch.run_state,
        packages=_TORCH,
        extra="torch",
    ),
    ExportFormat.SAFETENSORS: Way(
        about="model.safetensors, a checkpoint for transformers and trivet",
        file=to_weights.WEIGHTS,
        write=to_weights.write_safetensors,
        inspect=to_weights.compare_safetensors,
        checked="every weight",
    ),
    ExportFormat.SAVED_MODEL: Way(
        about="TensorFlow's SavedModel",
        file="saved_model.pb",
        write=to_tensorflow.write_saved_model,
        run=to_tensorflow.run_saved_model,
        packages=("tensorflow",),
        extra="tensorflow",
    ),
    ExportFormat.TFLITE: Way(
        about="model.tflite in FP32, of TFLite's own operators",
        file=to_tensorflow.TFLITE,
        write=to_tensorflow.write_tflite,
        run=to_tensorflow.run_tflite,
        packages=("tensorflow",),
        extra="tensorflow",
    ),
    ExportFormat.TORCHSCRIPT: Way(
        about="model.pt, a traced module",
        file=to_torch.TORCHSCRIPT,
        write=to_torch.write_torchscript,
        run=to_torch.run_torchscript,
        packages=_TORCH,
        extra="torch",
        backend="torch",
    ),
}
