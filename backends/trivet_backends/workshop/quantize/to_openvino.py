"""Variants for OpenVINO, from the FP32 ONNX file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trivet_backends.workshop.openvino_file import compress_weights, put_weights_last
from trivet_backends.workshop.precision import remove_defaults
from trivet_backends.workshop.quantize.options import Weights
from trivet_backends.workshop.quantize.running import Feeds

if TYPE_CHECKING:
    import openvino

_TEXTS_AT_ONCE = 32  # whose inputs are kept until they are summed up


def write_weights(
    source: Path, weights: Weights, calibration: Sequence[Feeds], target: Path
) -> None:
    """8-bit weights and tables, activations as they are; rounded by what the texts multiply."""
    import openvino

    model = _read(source)
    put_weights_last(model)
    compress_weights(
        model,
        symmetric=weights.symmetric is True,
        per_channel=weights.per_channel,
        moments=input_moments(model, calibration),
    )
    openvino.save_model(model, target, compress_to_fp16=False)


def write_static(
    source: Path, weights: Weights, calibration: Sequence[Feeds], target: Path
) -> None:
    """8-bit weights and activations by NNCF, one text a time; what it leaves gets 8-bit weights."""
    import openvino

    nncf = import_module("nncf")  # is not typed, and looks for torch as it starts
    logging.getLogger("nncf").setLevel(logging.ERROR)
    preset = "PERFORMANCE" if weights.symmetric else "MIXED"
    parameters = nncf.quantization.advanced_parameters.QuantizationParameters
    with _bars_on_a_terminal_only():
        model = nncf.quantize(
            _read(source),
            nncf.Dataset([dict(feeds) for feeds in calibration]),
            preset=getattr(nncf.QuantizationPreset, preset),
            subset_size=len(calibration),
            model_type=nncf.ModelType.TRANSFORMER,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                weights_quantization_params=parameters(per_channel=weights.per_channel)
            ),
        )
    _compress(model, weights)
    openvino.save_model(model, target, compress_to_fp16=False)


@contextmanager
def _bars_on_a_terminal_only() -> Iterator[None]:
    """NNCF draws on rich's own console, which is stdout: in a file bars would stand in a table."""
    import rich

    console = rich.get_console()
    was, console.quiet = console.quiet, console.quiet or not console.is_terminal
    try:
        yield
    finally:
        console.quiet = was


def input_moments(model: openvino.Model, calibration: Sequence[Feeds]) -> dict[str, np.ndarray]:
    """For each dense layer's matrix, by its node's name, the sum of x x^T over its inputs x.

    calibration: one text each, so that no padding is seen.
    """
    import openvino

    seen = model.clone()
    inputs: dict[tuple[str, int], Any] = {}
    readers: dict[str, tuple[str, int]] = {}
    for node in seen.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.get_attributes()["transpose_a"]:
            continue
        matrix, x = node.input_value(1).get_node(), node.input_value(0)
        if matrix.get_type_name() == "Constant":
            key = (x.get_node().get_friendly_name(), x.get_index())
            inputs[key] = x
            readers[matrix.get_friendly_name()] = key
    first = len(seen.outputs)
    seen.add_outputs(list(inputs.values()))
    compiled = openvino.Core().compile_model(seen, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    sums: dict[tuple[str, int], np.ndarray] = {}
    for begin in range(0, len(calibration), _TEXTS_AT_ONCE):
        found: dict[tuple[str, int], list[np.ndarray]] = {key: [] for key in inputs}
        for feeds in calibration[begin : begin + _TEXTS_AT_ONCE]:
            outputs = compiled(dict(feeds))
            for place, key in enumerate(inputs, first):
                x = outputs[place]
                found[key].append(x.reshape(-1, x.shape[-1]).copy())
        for key, parts in found.items():
            stacked = np.concatenate(parts)
            sums[key] = sums.get(key, np.float32(0)) + stacked.T @ stacked
    return {name: sums[key] for name, key in readers.items() if key in sums}


def write_half(source: Path, target: Path) -> None:
    """Weights stored in FP16."""
    import openvino

    model = _read(source)
    put_weights_last(model)
    openvino.save_model(model, target, compress_to_fp16=True)


def computes_in(precision: str) -> bool:
    """Whether this machine's CPU does: "BF16"."""
    import openvino

    return precision in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _read(source: Path) -> openvino.Model:
    """All inputs of the file are inputs: OpenVINO would take one with a default for a constant."""
    import onnx
    import openvino

    model = onnx.load(source)
    remove_defaults(model)
    return openvino.Core().read_model(model.SerializeToString())


def _compress(model: object, weights: Weights) -> None:
    compress_weights(model, symmetric=weights.symmetric is True, per_channel=weights.per_channel)
