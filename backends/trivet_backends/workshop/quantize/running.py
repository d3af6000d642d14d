"""A written file, opened on its engine as the server opens it: all cores for one batch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trivet_backends.workshop.quantize.variants import Engine, Variant

Feeds = Mapping[str, np.ndarray]


class Runner(Protocol):
    """An opened model."""

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Every output by name."""


class OnnxRunner:
    """ONNX Runtime on the CPU."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = _cores()
        # As backends/onnxruntime/options.py: threads that spin on would take the cores from
        # whatever is measured next.
        options.add_session_config_entry("session.intra_op.spin_duration_us", "20")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))


class OpenVinoRunner:
    """OpenVINO on the CPU. settings: of config.pbtxt."""

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        import openvino

        hints = {
            "INFERENCE_PRECISION_HINT": "f32",  # the server's defaults
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": _cores(),
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32",
            **settings,
        }
        core = openvino.Core()
        model = core.read_model(path)
        self._compiled = core.compile_model(model, "CPU", hints)
        self._names = [port.get_any_name() for port in model.outputs]

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        outputs = self._compiled(dict(feeds))
        return {name: np.array(outputs[index]) for index, name in enumerate(self._names)}


class TorchRunner:
    """TorchScript on the CPU. outputs: their names, in order."""

    def __init__(self, path: Path, outputs: tuple[str, ...]) -> None:
        import torch

        self._module: Any = torch.jit.load(path)
        self._names = outputs

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            found = self._module(*(torch.from_numpy(array) for array in feeds.values()))
        several = found if isinstance(found, tuple | list) else (found,)
        arrays = [output.numpy() for output in several]
        return dict(zip(self._names, arrays, strict=True))


def opened(variant: Variant, folder: Path, outputs: tuple[str, ...]) -> Runner:
    """The variant's file in `folder`. outputs: the source's, in order."""
    path = folder / variant.engine.file
    match variant.engine:
        case Engine.ONNXRUNTIME:
            return OnnxRunner(path)
        case Engine.OPENVINO:
            settings = {name: value for name, (value, _) in variant.parameters.items()}
            return OpenVinoRunner(path, settings)
        case Engine.TORCH:
            return TorchRunner(path, outputs)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
