"""Variants for ONNX Runtime, from the FP32 ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trivet_backends.workshop.precision import fuse, without_advice
from trivet_backends.workshop.quantize.options import Weights
from trivet_backends.workshop.quantize.running import Feeds
from trivet_backends.workshop.quantize.tables import store_half, store_tables

_OPSET = 13  # from there on DequantizeLinear knows scales per channel


def write_dynamic(source: Path, weights: Weights, target: Path) -> None:
    """8-bit weights, activations rounded per batch. Fused first: see `workshop/precision.py`."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fused = target.with_suffix(".fused")
    try:
        fuse(source, fused)
        with without_advice():
            quantize_dynamic(
                fused,
                target,
                op_types_to_quantize=["MatMul", "Attention"],
                per_channel=weights.per_channel,
                weight_type=QuantType.QInt8,
                extra_options={
                    "MatMulConstBOnly": True,
                    "WeightSymmetric": weights.symmetric is not False,
                    "DefaultTensorType": TensorProto.FLOAT,
                },
            )
    finally:
        fused.unlink(missing_ok=True)
    _rewrite_tables(target, weights)


def write_static(
    source: Path, weights: Weights, calibration: Sequence[Feeds], target: Path
) -> None:
    """8-bit weights and activations as QuantizeLinear and DequantizeLinear (QDQ)."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    newer = target.with_suffix(".newer")
    try:
        onnx.save(onnx.version_converter.convert_version(onnx.load(source), _OPSET), newer)
        with without_advice():
            quantize_static(
                newer,
                target,
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                per_channel=weights.per_channel,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={
                    "MatMulConstBOnly": True,
                    "WeightSymmetric": weights.symmetric is not False,
                },
            )
    finally:
        newer.unlink(missing_ok=True)
    _rewrite_tables(target, weights)


def write_half(source: Path, target: Path) -> None:
    """Weights stored in FP16."""
    import onnx

    model = onnx.load(source)
    store_half(model)
    target.write_bytes(model.SerializeToString())


class _Reader:
    """Hands the calibration batches to the quantizer, one at a time; None ends them."""

    def __init__(self, batches: Sequence[Feeds]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else dict(batch)


def _rewrite_tables(path: Path, weights: Weights) -> None:
    import onnx

    model = onnx.load(path)
    store_tables(model, weights)
    path.write_bytes(model.SerializeToString())
