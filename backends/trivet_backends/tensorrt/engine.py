"""A plan as it is on disk: what it tells of its tensors and profiles, and what cannot be served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.backend.contract import LoadContext
from trivet.errors import Fault, InvalidConfig
from trivet_backends.tensorrt.api import Api, Messages, logger
from trivet_backends.tensorrt.profiles import Profile, Range, Shape

# The engine's element types by name. 4 and 8-bit floats are none of the wire's.
DATATYPES = {
    "BOOL": "BOOL",
    "UINT8": "UINT8",
    "INT8": "INT8",
    "INT32": "INT32",
    "INT64": "INT64",
    "HALF": "FP16",
    "BF16": "BF16",
    "FLOAT": "FP32",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of an engine; -1 is a dimension that varies."""

    name: str
    datatype: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Engine:
    """A plan that was read, and what it tells."""

    handle: Any  # ICudaEngine
    runtime: Any  # which must outlive it
    logger: Any  # likewise
    messages: Messages
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    profiles: tuple[Profile, ...]


def open_engine(api: Api, path: Path, context: LoadContext) -> Engine:
    """Read a plan onto the context's GPU, which must be the thread's current one.

    Raises InvalidConfig: another version or GPU built it, it is no plan, it has tensors that cannot
    be served.
    """
    where = f"{context.where}/{path.name}"
    messages = Messages()
    log = logger(api.trt, messages)
    runtime = api.trt.Runtime(log)
    handle = runtime.deserialize_cuda_engine(path.read_bytes())
    if handle is None:
        what = f"TensorRT {api.trt.__version__} cannot load it: {messages.take()}"
        cure = "build it on this machine, with this version of TensorRT, for this kind of GPU"
        raise InvalidConfig([Fault(where, what, cure)])
    names = [handle.get_tensor_name(index) for index in range(handle.num_io_tensors)]
    if faults := [fault for name in names for fault in _faults(api.trt, handle, name, where)]:
        raise InvalidConfig(faults)
    is_input = {name: handle.get_tensor_mode(name) == api.trt.TensorIOMode.INPUT for name in names}
    inputs = _tensors(handle, [name for name in names if is_input[name]])
    return Engine(
        handle,
        runtime,
        log,
        messages,
        inputs,
        _tensors(handle, [name for name in names if not is_input[name]]),
        tuple(_profile(handle, inputs, i) for i in range(handle.num_optimization_profiles)),
    )


def usable_profiles(
    engine: Engine, wanted: Sequence[int], max_batch_size: int, where: str, place: str
) -> tuple[Profile, ...]:
    """The profiles of these numbers; the first where none is named, as in Triton.

    where: how messages name the plan; place: the config's field. Raises InvalidConfig: there is no
    such profile, or none takes as many rows as the config says.
    """
    known = {profile.index: profile for profile in engine.profiles}
    if absent := sorted(set(wanted) - set(known)):
        cure = f"name some of {', '.join(map(str, known))}"
        raise InvalidConfig([Fault(place, f"the engine has no profile {absent[0]}", cure)])
    profiles = tuple(known[index] for index in wanted or (0,))
    rows = min((_most_rows(profile) for profile in profiles), default=max_batch_size)
    if max_batch_size > rows:
        what = f"its profiles take {rows} rows, and max_batch_size is {max_batch_size}"
        cure = f"write max_batch_size: {rows}, or build it for more"
        raise InvalidConfig([Fault(where, what, cure)])
    return profiles


def _most_rows(profile: Profile) -> int:
    return min((one.most[0] for one in profile.ranges.values() if one.most), default=0)


def _tensors(handle: Any, names: Sequence[str]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            name,
            DATATYPES[handle.get_tensor_dtype(name).name],
            tuple(handle.get_tensor_shape(name)),
        )
        for name in names
    )


def _profile(handle: Any, inputs: Sequence[Tensor], index: int) -> Profile:
    ranges: Mapping[str, Range] = {
        one.name: Range(*map(tuple, handle.get_tensor_profile_shape(one.name, index)))
        for one in inputs
    }
    return Profile(index, ranges)


def _faults(trt: Any, handle: Any, name: str, where: str) -> Iterator[Fault]:
    at, datatype = f"{where}: tensor '{name}'", handle.get_tensor_dtype(name).name
    if datatype not in DATATYPES:
        known = ", ".join(DATATYPES)
        yield Fault(at, f"its type {datatype} cannot be served", f"build it with one of {known}")
    if handle.is_shape_inference_io(name) or handle.get_tensor_location(name) != (
        trt.TensorLocation.DEVICE
    ):
        yield Fault(at, "it is a shape tensor", "build the engine without")
    if handle.get_tensor_format(name) != trt.TensorFormat.LINEAR:
        yield Fault(at, "its memory is not linear", "build it with the format LINEAR")
