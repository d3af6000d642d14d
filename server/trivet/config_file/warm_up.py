"""model_warmup, and the parameter that warms a length-aware model up for every length.

parameters { key: "warm_up_lengths" value { string_value: "16,32,64,128" } }

runs, on every instance and before the model is ready, one batch per length in tokens: as many rows
as max_batch_size and max_batch_tokens allow. Off unless written, since an engine keeps the memory
that its largest batch took.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from trivet.config import Platform, WarmUp, WarmUpData, WarmUpInput
from trivet.config_file.datatypes import data_type, wire_name
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

LENGTHS = "warm_up_lengths"

_DATA = {
    "zero_data": WarmUpData.ZERO,
    "random_data": WarmUpData.RANDOM,
    "input_data_file": WarmUpData.FILE,
}


def warm_ups(message: pb.ModelConfig, where: str, faults: Faults) -> tuple[WarmUp, ...]:
    """The requests that every instance answers before the model is ready."""
    if message.model_warmup and message.platform == Platform.ENSEMBLE.value:
        what = "a pipeline has no instances to warm up"
        faults.add(f"{where}: model_warmup", what, "set it on the pipeline's members")
    return tuple(
        _warm_up(warm_up, message.max_batch_size, f"{where}: model_warmup[{index}]", faults)
        for index, warm_up in enumerate(message.model_warmup)
    )


def warm_up_lengths(
    message: pb.ModelConfig, parameters: Mapping[str, str], where: str, faults: Faults
) -> tuple[int, ...]:
    """The lengths, in tokens, of the batches that warm up a length-aware model; ascending."""
    written = parameters.get(LENGTHS)
    if written is None:
        return ()
    at = f'{where}: parameters["{LENGTHS}"]'
    texts = [text.strip() for text in written.split(",")]
    if not all(text.isascii() and text.isdecimal() and int(text) for text in texts):
        what = f"'{written}' is no list of whole numbers above 0"
        faults.add(at, what, 'write lengths in tokens, e.g. "16,32,64"')
        return ()
    if not message.HasField("dynamic_batching") or not {"max_batch_tokens", "batch_order"} & set(
        parameters
    ):
        what = "is for models that batch by length"
        faults.add(at, what, 'add dynamic_batching { } and parameters["max_batch_tokens"]')
    return tuple(sorted({int(text) for text in texts}))


def to_warm_up(warm_up: WarmUp) -> pb.ModelWarmup:
    """The message that says what a `WarmUp` does."""
    return pb.ModelWarmup(
        name=warm_up.name,
        batch_size=warm_up.batch_size,
        count=warm_up.count,
        inputs={name: _to_input(given) for name, given in warm_up.inputs.items()},
    )


def _warm_up(message: pb.ModelWarmup, max_batch_size: int, where: str, faults: Faults) -> WarmUp:
    # 0 is what proto3 makes of a field left out. Triton passes such a sample over; to run it
    # once is what its author meant.
    batch_size, largest = message.batch_size or 1, max(1, max_batch_size)
    if batch_size > largest:
        what = f"is {batch_size}, must be 1 to {largest} (max_batch_size {max_batch_size})"
        faults.add(f"{where}.batch_size", what, "lower it, or raise max_batch_size")
    return WarmUp(
        name=message.name,
        batch_size=batch_size,
        count=message.count or 1,
        inputs={
            name: _input(given, f'{where}.inputs["{name}"]', faults)
            for name, given in sorted(message.inputs.items())
        },
    )


def _input(message: pb.ModelWarmup.Input, where: str, faults: Faults) -> WarmUpInput:
    datatype = wire_name(message.data_type)
    if not datatype:
        faults.add(f"{where}.data_type", "is missing", "write the input's own")
    if wrong := [dim for dim in message.dims if dim < 1]:
        what = f"a dimension cannot be {wrong[0]}: a sample has one size"
        faults.add(f"{where}.dims", what, "write sizes of 1 or more, also where the input varies")
    kind = message.WhichOneof("input_data_type")
    if kind is None:
        cure = "set one of zero_data, random_data, input_data_file"
        faults.add(where, "says nothing of the values", cure)
    file = message.input_data_file
    if kind == "input_data_file" and not _is_inside(file):
        what = f"'{file}' names no file inside of the model's folder warmup"
        faults.add(f"{where}.input_data_file", what, "name a file that lies in there")
    return WarmUpInput(
        datatype=datatype,
        dims=tuple(message.dims),
        data=_DATA.get(kind or "", WarmUpData.ZERO),
        file=file,
    )


def _is_inside(file: str) -> bool:
    path = PurePosixPath(file)
    if path.is_absolute() or "\0" in file:
        return False
    return bool(path.parts) and ".." not in path.parts


def _to_input(given: WarmUpInput) -> pb.ModelWarmup.Input:
    message = pb.ModelWarmup.Input(
        data_type=data_type(given.datatype),
        dims=given.dims,
    )
    match given.data:
        case WarmUpData.ZERO:
            message.zero_data = True
        case WarmUpData.RANDOM:
            message.random_data = True
        case WarmUpData.FILE:
            message.input_data_file = given.file
    return message
