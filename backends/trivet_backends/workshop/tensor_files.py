"""Reading safetensors files, one or sharded, into float32 arrays whatever they are stored as.

Stored types: FP64, FP32, FP16, BF16, and the compact 8-bit form of `compact.py`: an int8 tensor
[out, ...] beside a float32 tensor [out] of the same name and `.scale`, whose product it stands for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivet.errors import Fault, InvalidConfig

Float32 = NDArray[np.float32]

# The compact form, as the file's metadata names it.
SCHEME_KEY = "trivet.scheme"
INT8_PER_OUTPUT_CHANNEL = "int8-per-output-channel"
SCALE_SUFFIX = ".scale"

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor as a file lists it, not yet read."""

    file: Path
    name: str
    dtype: str  # safetensors' word: F32, F16, BF16, I8 ...
    shape: tuple[int, ...]
    scheme: str  # how 8-bit tensors of this file are to be read; empty if it does not say


def weight_files(folder: Path, faults: list[Fault]) -> list[Path]:
    """The safetensors files of a checkpoint folder: one, or the shards its index names."""
    index = folder / _INDEX
    if (folder / _WEIGHTS).is_file() or not index.is_file():
        return [folder / _WEIGHTS]
    where = f"{folder.name}/{_INDEX}"
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        faults.append(Fault(where, f"cannot be read ({error!r})", "download the checkpoint again"))
        return []
    # An index could name any file of this machine; only the folder's own are read.
    outside = [name for name in names if Path(name).name != name]
    if outside:
        faults.append(Fault(where, f"names {outside[0]!r}", "shards must lie in the same folder"))
        return []
    return [folder / name for name in names]


def list_tensors(folder: Path, faults: list[Fault]) -> dict[str, StoredTensor]:
    """Every tensor of a checkpoint folder by its stored name, without reading the data."""
    stored: dict[str, StoredTensor] = {}
    for path in weight_files(folder, faults):
        stored.update(_list_file(path, f"{folder.name}/{path.name}", faults))
    return stored


def check_type(
    stored: StoredTensor, scales: Mapping[str, StoredTensor], faults: list[Fault]
) -> None:
    """Add a fault for a tensor whose type holds no weights, or that is 8-bit without its scale."""
    where = f"{stored.file.parent.name}/{stored.file.name}: {stored.name}"
    if stored.dtype in _FLOATS:
        return
    if stored.dtype != "I8":
        cure = "store weights as FP32, FP16, BF16 or in trivet's compact 8-bit form"
        faults.append(Fault(where, f"is of type {stored.dtype}", cure))
        return
    cure = f"write the compact form with trivet, which stores {INT8_PER_OUTPUT_CHANNEL} scales"
    scale = scales.get(stored.name + SCALE_SUFFIX)
    if stored.scheme != INT8_PER_OUTPUT_CHANNEL:
        faults.append(Fault(where, f"is 8-bit in the unknown scheme {stored.scheme!r}", cure))
    elif scale is None or scale.shape != stored.shape[:1]:
        missing = f"{stored.name}{SCALE_SUFFIX} of shape {list(stored.shape[:1])}"
        faults.append(Fault(where, f"comes without {missing}", cure))


def read_tensor(stored: StoredTensor, scales: Mapping[str, StoredTensor]) -> Float32:
    """Read one tensor that `check_type` found good, as float32, dequantized if it is 8-bit.

    scales: the scale tensors of its files by name. Raises InvalidConfig if the file cannot be read.
    """
    array = _raw(stored).astype(np.float32)
    if stored.dtype != "I8":
        return array
    scale = _raw(scales[stored.name + SCALE_SUFFIX]).astype(np.float32)
    array *= scale.reshape(-1, *([1] * (array.ndim - 1)))
    return array


def let_all_read(folder: Path) -> None:
    """Open the folder's safetensors files to every reader: the library writes them for the owner.

    A server mostly runs as another user than who trained or exported.
    """
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)


def _list_file(path: Path, where: str, faults: list[Fault]) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        cure = "save the weights as safetensors; save_pretrained(folder) of transformers does"
        faults.append(Fault(where, "the file is missing", cure))
        return {}
    try:
        with safe_open(path, framework="np") as file:
            scheme = (file.metadata() or {}).get(SCHEME_KEY, "")
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: StoredTensor(
                    file=path,
                    name=name,
                    dtype=part.get_dtype(),
                    shape=tuple(part.get_shape()),
                    scheme=scheme,
                )
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        faults.append(Fault(where, f"is no readable safetensors file ({error})", "fetch it again"))
        return {}


def _raw(stored: StoredTensor) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(stored.file, framework="np") as file:
            array: np.ndarray = file.get_tensor(stored.name)
    except (SafetensorError, OSError) as error:
        where = f"{stored.file.parent.name}/{stored.file.name}: {stored.name}"
        raise InvalidConfig(
            [Fault(where, f"cannot be read ({error})", "fetch it again")]
        ) from error
    return array
