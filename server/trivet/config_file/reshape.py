"""`reshape` of inputs and outputs: a client's dims and the engine's, of as many elements each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from math import prod

from trivet.config import Dims, ModelConfig
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb


def reshape(message: pb.ModelInput | pb.ModelOutput) -> Dims | None:
    """The dims of the engine where a tensor is reshaped; None where it is not."""
    return tuple(message.reshape.shape) if message.HasField("reshape") else None


def check_reshapes(config: ModelConfig, where: str, faults: Faults) -> None:
    """Each reshape can be done: no element is lost, and every varying dimension has its place."""
    for kind, specs in (("input", config.inputs), ("output", config.outputs)):
        for index, spec in enumerate(specs):
            if spec.reshape is None:
                continue
            at = f"{where}: {kind}[{index}].reshape"
            if config.is_pipeline:
                what = "a pipeline hands tensors on as they are"
                faults.add(at, what, "set it on the pipeline's members")
            elif wrong := [dim for dim in spec.reshape if dim == 0 or dim < -1]:
                what = f"a dimension cannot be {wrong[0]}"
                faults.add(at, what, "write its size, or -1 where it varies")
            elif not spec.reshape and not config.max_batch_size:
                what = "is empty, but a model that does not batch has no scalars"
                faults.add(at, what, "write shape: [ 1 ], or set max_batch_size")
            else:
                _compare(spec.dims, spec.reshape, at, faults)


def _compare(dims: Dims, reshape: Dims, at: str, faults: Faults) -> None:
    if dims.count(-1) != reshape.count(-1):
        what = f"{list(reshape)} has not as many dimensions of -1 as dims {list(dims)}"
        faults.add(at, what, "let the same number of dimensions vary in both")
    elif any(own != other for own, other in zip_longest(_sizes(dims), _sizes(reshape))):
        what = f"{list(reshape)} has not as many elements as dims {list(dims)}"
        if -1 in dims:
            what += " before, between or behind the dimensions of -1"
        faults.add(at, what, "make the products of the sizes equal")


def _sizes(dims: Dims) -> Iterator[int]:
    """Elements before, between and behind the dimensions that vary."""
    fixed: list[int] = []
    for dim in dims:
        if dim == -1:
            yield prod(fixed)
            fixed = []
        else:
            fixed.append(dim)
    yield prod(fixed)
