"""`pb_utils.Tensor`."""

from __future__ import annotations

from typing import Any

import numpy as np

from trivet_backends.python.child.errors import TritonModelException
from trivet_backends.python.frames import Named, Prepared, Unreadable, datatype_of, prepared

NUMBERS = (
    *("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES", "BF16"),
)


class _Capsule:
    """A bare capsule as an object that can be read; nobody can tell where its memory is."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __dlpack__(self, **options: Any) -> object:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # the CPU


class Tensor:
    """A name and an array. BF16 needs the package ml_dtypes to be an array."""

    def __init__(self, name: str, array: np.ndarray, datatype: str = "") -> None:
        """datatype: of an array whose dtype does not tell it."""
        if not isinstance(array, np.ndarray):
            raise TritonModelException(
                f"tensor '{name}' is made of a {type(array).__name__}; give a numpy array, or use"
                " Tensor.from_dlpack"
            )
        self._name = name
        self._array = array
        self._datatype = datatype or datatype_of(array)
        if not self._datatype:
            raise TritonModelException(
                f"tensor '{name}' has dtype {array.dtype}, which no type has"
            )

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        """The array; BYTES are an object array of `bytes`."""
        if self._datatype == "BF16" and self._array.dtype == np.uint16:
            raise TritonModelException(
                f"tensor '{self._name}' is BF16, for which numpy has no type; install ml_dtypes in"
                " this model's environment"
            )
        return self._array

    def triton_dtype(self) -> int:
        """The number that config.pbtxt's type has in Triton's protocol."""
        return NUMBERS.index(self._datatype)

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def is_cpu(self) -> bool:
        """Always: tensors come and go through the memory that processes share."""
        return True

    @classmethod
    def from_dlpack(cls, name: str, tensor: Any) -> Tensor:
        """From any object with `__dlpack__`, e.g. a torch tensor, or the capsule it gives; one on a
        GPU is refused.
        """
        if type(tensor).__name__ == "PyCapsule":
            tensor = _Capsule(tensor)
        if not hasattr(tensor, "__dlpack__"):
            raise TritonModelException(
                f"tensor '{name}': a {type(tensor).__name__} has no __dlpack__; give the tensor"
                " itself"
            )
        try:
            return cls(name, np.from_dlpack(tensor))
        except (BufferError, RuntimeError, TypeError) as error:
            raise TritonModelException(
                f"tensor '{name}' cannot be read: {error}; move it to the CPU first"
            ) from error

    def to_dlpack(self) -> Any:
        """A capsule that shares this tensor's memory, for e.g. torch.from_dlpack."""
        return self.as_numpy().__dlpack__()

    def __dlpack__(self, **options: Any) -> Any:
        return self.as_numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def prepared(self) -> Prepared:
        """As it travels. Raises TritonModelException for BYTES that hold anything else."""
        try:
            return prepared(self._name, Named(self._datatype, self._array))
        except Unreadable as error:
            raise TritonModelException(f"tensor {error}") from error
