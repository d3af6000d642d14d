"""Tiny OpenVINO models, and a mark for tests that need the engine."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness import artifacts
from tests.harness.toolchains import needs

needs_openvino = needs("openvino")


def write_pooling_model(folder: Path) -> Path:
    """`artifacts.write_pooling_graph` as model.xml and model.bin."""
    with TemporaryDirectory() as scratch:
        return converted(artifacts.write_pooling_graph(Path(scratch) / "model.onnx"), folder)


def converted(onnx: Path, folder: Path) -> Path:
    """An ONNX file as model.xml and model.bin in `folder`, with its weights as they are."""
    import openvino

    path = folder / "model.xml"
    openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)
    return path
