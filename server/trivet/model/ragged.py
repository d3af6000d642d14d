"""What an artifact tells of flat tensors, compared with config.pbtxt and put into its terms."""

from __future__ import annotations

from dataclasses import replace

from trivet.backend.contract import Signature
from trivet.config import BatchInput, BatchInputKind, Dims, ModelConfig, TensorSpec
from trivet.config_file import Faults, data_type

FLAT: Dims = (-1,)

Specs = tuple[TensorSpec, ...]


def with_batch_in_front(
    config: ModelConfig, signature: Signature, where: str, faults: Faults
) -> Signature:
    """The signature as if nothing were flat: ragged inputs and batch outputs have the written dims
    behind a batch dimension, and batch inputs, which clients do not see, are left out.

    config: as the engine sees it. where: how messages name the version. What is not as ragged
    batching needs it is added to `faults`.
    """
    if not signature.inputs:
        return signature
    _check_batch_inputs(config, signature.inputs, where, faults)
    made = {target for told in config.batch_inputs for target in told.targets}
    ragged = {spec.name: spec for spec in config.inputs if spec.ragged}
    divided = {
        target: config.output(target) for told in config.batch_outputs for target in told.targets
    }
    for spec in signature.inputs:
        if spec.name in ragged and spec.dims != FLAT:
            what = f"ragged inputs come flat, but the artifact's shape is {list(spec.dims)}"
            cure = "remove allow_ragged_batch, or give the artifact's input the shape [-1]"
            faults.add(f"{where}: input '{spec.name}'", what, cure)
    return Signature(
        inputs=tuple(
            _batched(spec, ragged.get(spec.name))
            for spec in signature.inputs
            if spec.name not in made
        ),
        outputs=tuple(_batched(spec, divided.get(spec.name)) for spec in signature.outputs),
    )


def _batched(told: TensorSpec, written: TensorSpec | None) -> TensorSpec:
    if written is None:
        return told
    return replace(told, dims=(-1, *written.dims), symbols=("",) * (1 + len(written.dims)))


def _check_batch_inputs(config: ModelConfig, told: Specs, where: str, faults: Faults) -> None:
    known = {spec.name: spec for spec in told}
    for batch_input in config.batch_inputs:
        for target in batch_input.targets:
            at = f"{where}: batch_input '{target}'"
            if target in known:
                _check_batch_input(batch_input, known[target], at, faults)
            else:
                names = ", ".join(f"'{name}'" for name in known)
                what = f"config.pbtxt names it, but the artifact has {names}"
                faults.add(at, what, "correct its target_name, or remove it")


def _check_batch_input(written: BatchInput, told: TensorSpec, at: str, faults: Faults) -> None:
    if written.datatype != told.datatype:
        what = f"config.pbtxt says {written.datatype}, the artifact {told.datatype}"
        if told.datatype in ("INT32", "FP32"):
            faults.add(at, what, f"write data_type: {data_type(told.datatype)}")
        else:
            faults.add(at, what, "cast it in the artifact: batch inputs are INT32 or FP32")
    rank = 2 if written.kind is BatchInputKind.ITEM_SHAPE else 1
    if len(told.dims) != rank or told.dims[0] != -1:
        what = f"{written.kind.value} has {rank} dimension{'s'[: rank - 1]} of any size"
        what += f", but the artifact's shape is {list(told.dims)}"
        faults.add(at, what, "choose the kind that fits, or change the artifact's shape")
