"""Variants for OpenVINO, from the FP32 ONNX file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from trivet_backends.workshop.openvino_file import compress_weights, put_weights_last
from trivet_backends.workshop.quantize.options import Weights
from trivet_backends.workshop.quantize.running import Feeds


def write_weights(source: Path, weights: Weights, target: Path) -> None:
    """8-bit weights and tables, activations as they are."""
    import openvino

    model = openvino.Core().read_model(source)
    put_weights_last(model)
    _compress(model, weights)
    openvino.save_model(model, target, compress_to_fp16=False)


def write_static(
    source: Path, weights: Weights, calibration: Sequence[Feeds], target: Path
) -> None:
    """8-bit weights and activations by NNCF, one text a time; what it leaves gets 8-bit weights."""
    import openvino

    nncf = import_module("nncf")  # is not typed, and looks for torch as it starts
    logging.getLogger("nncf").setLevel(logging.ERROR)
    preset = "PERFORMANCE" if weights.symmetric else "MIXED"
    model = nncf.quantize(
        openvino.Core().read_model(source),
        nncf.Dataset([dict(feeds) for feeds in calibration]),
        preset=getattr(nncf.QuantizationPreset, preset),
        subset_size=len(calibration),
        model_type=nncf.ModelType.TRANSFORMER,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            weights_quantization_params=nncf.quantization.advanced_parameters.QuantizationParameters(
                per_channel=weights.per_channel
            )
        ),
    )
    _compress(model, weights)
    openvino.save_model(model, target, compress_to_fp16=False)


def write_half(source: Path, target: Path) -> None:
    """Weights stored in FP16."""
    import openvino

    model = openvino.Core().read_model(source)
    put_weights_last(model)
    openvino.save_model(model, target, compress_to_fp16=True)


def computes_in(precision: str) -> bool:
    """Whether this machine's CPU does: "BF16"."""
    import openvino

    return precision in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compress(model: object, weights: Weights) -> None:
    compress_weights(model, symmetric=weights.symmetric is True, per_channel=weights.per_channel)
