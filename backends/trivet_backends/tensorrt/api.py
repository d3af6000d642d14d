"""What the backend calls: the packages `tensorrt` and `cuda.bindings`, found once and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trivet.errors import EngineFailed, InstanceDied

LEAST = 10  # of TensorRT: tensors by name, INT64, profiles that several contexts share
_NO_MEMORY = 2  # cudaErrorMemoryAllocation
MISSING = "backend 'tensorrt' lacks the package {}"
CURE = "pip install 'trivet[tensorrt]' on a machine with an NVIDIA GPU"


class NotThere(Exception):
    """A package is missing or too old; the message says which."""


@dataclass(frozen=True, slots=True)
class Api:
    """The two modules. Neither has types that a machine without them could check."""

    trt: Any
    cudart: Any

    def called(self, result: Sequence[Any]) -> Any:
        """The value of a call to CUDA, which gives (error, value...).

        Raises EngineFailed where memory is short, else InstanceDied: after any other error the
        process can do nothing more on that GPU.
        """
        error, *values = result
        if int(error) != 0:
            _, text = self.cudart.cudaGetErrorString(error)
            kind = EngineFailed if int(error) == _NO_MEMORY else InstanceDied
            raise kind(f"tensorrt: CUDA says: {text.decode()}")
        return values[0] if values else None


class Messages:
    """What TensorRT logged as an error last; it tells reasons in no other way."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def take(self) -> str:
        """The errors since the last time, in one line."""
        told, self.errors = "; ".join(self.errors[-3:]), []
        return told or "it gave no reason"

    def failed(self, what: str) -> EngineFailed:
        return EngineFailed(f"tensorrt: {what}: {self.take()}")


def installed() -> Api:
    """The modules as they are installed. Raises NotThere."""
    try:
        import tensorrt
    except ImportError as error:
        raise NotThere(MISSING.format("tensorrt")) from error
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise NotThere(MISSING.format("cuda-python")) from error
    if int(tensorrt.__version__.partition(".")[0]) < LEAST:
        raise NotThere(f"TensorRT {tensorrt.__version__} is older than {LEAST}")
    return Api(tensorrt, runtime)


def logger(trt: Any, messages: Messages) -> Any:
    """A logger that keeps errors; TensorRT calls it from whichever thread works."""

    class Keeper(trt.ILogger):  # type: ignore[misc]  # a class of the package's own
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                messages.errors.append(" ".join(msg.split()))

    return Keeper()
