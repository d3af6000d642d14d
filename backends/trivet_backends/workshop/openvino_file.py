"""A graph as model.xml and model.bin for OpenVINO, in FP32, FP16 or with 8-bit weights.

FP16: weights are stored in half, and computed with as the server's precision says.

INT8: weights are stored in 8 bits with a scale and a zero point per output channel (per row of a
table), the form that NNCF's compress_weights writes by default; the engine multiplies in 8 bits
where the CPU can. What an answer loses by it, it loses whatever the rest of the batch is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trivet_backends.workshop.options import Precision
from trivet_backends.workshop.rounding import compensated
from trivet_backends.workshop.tensor_files import Float32

if TYPE_CHECKING:
    import openvino

_FLAT = 2  # dimensions of a matrix
_LEVELS = 255  # of 8 bits, counted from 0
_DATA, _WEIGHTS = 0, 1  # which input of Gather and Transpose, and of MatMul, weights are


def write_openvino(onnx: Path, precision: Precision, path: Path) -> None:
    """Write the FP32 graph of an ONNX file to `path` (.xml), its weights beside it (.bin)."""
    import openvino

    model = openvino.Core().read_model(onnx)
    put_weights_last(model)
    if precision is Precision.INT8:
        compress_weights(model)
    openvino.save_model(model, path, compress_to_fp16=precision is Precision.FP16)


def run_openvino(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of the model at `path` for one batch, computed as the server does: in f32.

    An input that is left out is one of fill-mask's target_ids, and gets -1, which is none.
    """
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    model = core.read_model(path)
    none = np.full((len(next(iter(inputs.values()))), 1), -1, np.int64)
    fed = {name: inputs.get(name, none) for name in (port.get_any_name() for port in model.inputs)}
    outputs = core.compile_model(model, "CPU", hints)(fed)
    names = [port.get_any_name() for port in model.outputs]  # compiled, they go by others too
    return {name: np.array(outputs[index]) for index, name in enumerate(names)}


def put_weights_last(model: openvino.Model) -> None:
    """Turn weights @ x into the transpose of x^T @ weights^T, as fill-mask's decoder needs it.

    The engine has kernels for weights on the right alone; transposes that meet cancel each other.
    """
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.get_attributes()["transpose_a"]:
            continue
        weights, x = node.input_values()
        flat = all(shape.rank == _FLAT for shape in map(_shape, (weights, x)))
        if flat and weights.get_node().get_type_name() == "Constant":
            turned = not node.get_attributes()["transpose_b"]
            product = ops.matmul(ops.transpose(x, [1, 0]) if turned else x, weights, False, True)
            back = ops.transpose(product, [1, 0])
            back.set_friendly_name(node.get_friendly_name())
            for reader in list(node.output(0).get_target_inputs()):
                reader.replace_source_output(back.output(0))


def compress_weights(
    model: openvino.Model,
    *,
    symmetric: bool = False,
    per_channel: bool = True,
    moments: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Put 8 bits in place of every matrix that is multiplied with or looked up in.

    A matrix used twice, as the word embeddings of a tied decoder are, stays one. moments: of what
    a matrix is multiplied with, by its node's name, where rounding is to go by them (`rounding`).
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type().get_type_name() != "f32":
            continue
        readers = list(node.output(0).get_target_inputs())
        axes = set(_channel_axes(readers))
        if len(node.get_output_shape(0)) == 2 and len(axes) == 1 and -1 not in axes:
            parts = quantized(node.data, axes.pop(), symmetric=symmetric, per_channel=per_channel)
            seen = (moments or {}).get(node.get_friendly_name())
            if seen is not None and len(readers) == 1:  # not a table that is looked up in, too
                parts = (_rounded(node.data, seen, parts, per_channel=per_channel), *parts[1:])
            dequantized = _dequantized(parts)
            for reader in readers:
                reader.replace_source_output(dequantized)


def quantized(
    weights: Float32, channel_axis: int, *, symmetric: bool = False, per_channel: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """8 bits for a matrix: uint8 of its shape, and for each channel its zero point and scale.

    weights are about (bytes - zero point) * scale; zero is exact. The channels keep their axis, so
    that all three fit each other. symmetric: zero is in the middle; else levels go from the lowest
    weight to the highest. per_channel: else one zero point and scale, [1, 1], for all.
    """
    inner = 1 - channel_axis if per_channel else None
    lowest = np.minimum(weights.min(inner, keepdims=True), 0)
    highest = np.maximum(weights.max(inner, keepdims=True), 0)
    if symmetric:  # 127 levels on each side of the one in the middle, which is 128
        highest = np.maximum(highest, -lowest)
        lowest = -highest * (128 / 127)
    scale = ((highest - lowest) / _LEVELS).astype(np.float32)
    scale[scale == 0] = 1  # a channel of zeros
    zero = np.clip(np.rint(-lowest / scale), 0, _LEVELS)
    levels = np.clip(np.rint(weights / scale) + zero, 0, _LEVELS)
    return levels.astype(np.uint8), zero.astype(np.uint8), scale


def _rounded(
    weights: Float32,
    moments: np.ndarray,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    per_channel: bool,
) -> np.ndarray:
    """Other levels for the same zero points and scales. Rows are channels where there is one each,
    else whatever has as many columns as there are moments."""
    _, zero, scale = parts
    upright = zero.shape[1] == 1 if per_channel else weights.shape[1] == len(moments)
    matrix = weights if upright else weights.T
    levels = compensated(matrix, moments, zero.reshape(-1, 1), scale.reshape(-1, 1))
    return levels if upright else np.ascontiguousarray(levels.T)


def _shape(port: openvino.Output) -> openvino.PartialShape:
    return port.get_partial_shape()


def _channel_axes(readers: list[openvino.Input]) -> Iterator[int]:
    """For each reader the axis along which every index is a channel of its own; -1 for none."""
    for reader in readers:
        node, index = reader.get_node(), reader.get_index()
        match node.get_type_name():
            case "MatMul" if index == _WEIGHTS:
                yield 0 if node.get_attributes()["transpose_b"] else 1
            case "Gather" | "Transpose" if index == _DATA:
                yield 0
            case _:
                yield -1


def _dequantized(parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> openvino.Output:
    """The nodes that make the matrix again; the engine knows them and computes in 8 bits."""
    from openvino import opset13 as ops

    levels, zero, scale = map(ops.constant, parts)
    centred = ops.subtract(ops.convert(levels, "f32"), ops.convert(zero, "f32"))
    return ops.multiply(centred, scale).output(0)
