"""Arrays as the engine's tensors, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trivet.config import TensorSpec
from trivet.errors import EngineFailed, InvalidInput

if TYPE_CHECKING:
    import torch

# The engine's element types by the wire's names; text is a list of str.
DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "BF16": "bfloat16",
    "FP32": "float32",
    "FP64": "float64",
}
DATATYPES = {f"torch.{dtype}": name for name, dtype in DTYPES.items()}


def to_engine(name: str, array: np.ndarray, gpu: int | None) -> torch.Tensor | list[str]:
    """A tensor of the array, on the GPU if there is a number; BYTES elements as a list of str."""
    if array.dtype == object:
        return _texts(name, array)
    tensor = _tensor(array)
    # Out of pinned memory the copy runs beside what the stream computes.
    return tensor if gpu is None else tensor.pin_memory().to(f"cuda:{gpu}", non_blocking=True)


def to_array(spec: TensorSpec, value: Any, batches: bool) -> np.ndarray:
    """An output as the config describes it, in host memory.

    batches: the batch dimension is in front. Raises EngineFailed for another type.
    """
    import torch

    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        found, array = "BYTES", _elements(value, spec if batches else None)
    elif isinstance(value, torch.Tensor):
        found = DATATYPES.get(str(value.dtype), str(value.dtype))
        array = _array(value) if found == spec.datatype else np.empty(0)
    else:
        found, array = type(value).__name__, np.empty(0)
    if found != spec.datatype:
        told = f"output '{spec.name}' is {found}, and the config says {spec.datatype}"
        raise EngineFailed(f"torch: {told}: correct data_type in config.pbtxt")
    return array


def _tensor(array: np.ndarray) -> torch.Tensor:
    import torch

    # A message's bytes are not the model's to write to, and may be somebody else's, too.
    own = array if array.flags.writeable and array.flags.c_contiguous else array.copy()
    if own.dtype.name == "bfloat16":  # which the engine does not know numpy's form of
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def _array(tensor: torch.Tensor) -> np.ndarray:
    import torch

    host = tensor.detach().cpu().contiguous()
    if host.dtype == torch.bfloat16:
        import ml_dtypes

        return np.asarray(host.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.asarray(host.numpy())


def _texts(name: str, array: np.ndarray) -> list[str]:
    try:
        return [element.decode() for element in array.flat]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"input '{name}': an element is not UTF-8 at byte {error.start}; send UTF-8 text"
        ) from error


def _elements(texts: Sequence[str], spec: TensorSpec | None) -> np.ndarray:
    """BYTES [texts], or with one text for each row where the config has a batch."""
    array = np.array([text.encode() for text in texts], dtype=object)
    return array.reshape(-1, *([1] * len(spec.dims))) if spec else array
