"""CoreML, from the plain BERT in torch: an .mlpackage in FP32.

It runs on Apple's systems alone, so that elsewhere its structure is all that can be checked: the
inputs and outputs, the ranges of their sizes, and that every matrix of the source is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.config_text import MAX_BATCH_SIZE
from trivet_backends.workshop.export.source import Source, signature
from trivet_backends.workshop.export.to_torch import traced

PACKAGE = "model.mlpackage"
_MATRIX = 2  # dimensions


def write_coreml(source: Source, folder: Path) -> None:
    """The package; inputs are int32 [1..64, 1..max_positions]."""
    import coremltools as ct

    names = signature(source.options)
    sizes = (
        ct.RangeDim(1, MAX_BATCH_SIZE, default=1),
        ct.RangeDim(1, source.config.max_positions, default=1),
    )
    model = ct.convert(
        traced(source),
        inputs=[ct.TensorType(name=name, shape=sizes, dtype=np.int32) for name in names.inputs],
        outputs=[ct.TensorType(name=name) for name in names.outputs],
        convert_to="mlprogram",
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    model.save(str(folder / PACKAGE))


def inspect_coreml(source: Source, folder: Path) -> None:
    """Raise InvalidConfig if the package's structure is not that of the source."""
    import coremltools as ct

    model = ct.models.MLModel(str(folder / PACKAGE), skip_model_load=True)
    faults = [
        *_tensor_faults(model.get_spec().description, source),
        *_weight_faults(model, source),
    ]
    if faults:
        raise InvalidConfig(faults)


def _tensor_faults(description: Any, source: Source) -> Iterator[Fault]:
    names = signature(source.options)
    cure = "nothing was written; try another version of coremltools"
    expected = [(1, MAX_BATCH_SIZE), (1, source.config.max_positions)]
    for tensors, wanted in (
        (description.input, names.inputs),
        (description.output, names.outputs),
    ):
        found = tuple(tensor.name for tensor in tensors)
        if found != wanted:
            yield Fault(PACKAGE, f"names {found}, expected {wanted}", cure)
    for tensor in description.input:
        ranges = tensor.type.multiArrayType.shapeRange.sizeRanges
        sizes = [(size.lowerBound, size.upperBound) for size in ranges]
        if sizes != expected:
            yield Fault(f"{PACKAGE}: {tensor.name}", f"takes {sizes}, expected {expected}", cure)


def _weight_faults(model: Any, source: Source) -> Iterator[Fault]:
    """A fault for each matrix of the source that is in none of the package's constants."""
    held = {_print(array) for array in _constants(model)}
    for name, array in source.weights.items():
        if array.ndim == _MATRIX and not held & {_print(array), _print(array.T)}:
            yield Fault(f"{PACKAGE}: {name}", "is not in it", "nothing was written")


def _constants(model: Any) -> Iterator[np.ndarray]:
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = model.get_spec()
    program = load(spec, spec.specificationVersion, file_weights_dir=model.weights_dir)
    for function in program.functions.values():
        for operation in function.operations:
            if operation.op_type == "const":
                yield np.asarray(operation.outputs[0].val)


def _print(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return array.shape, array.tobytes()
