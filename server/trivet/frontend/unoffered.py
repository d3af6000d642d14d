"""The RPCs of GRPCInferenceService that this version does not offer, each with what it would do."""

from __future__ import annotations

from trivet.errors import Unimplemented
from trivet.frontend.method import Call, Methods, Unary

_SERVICE = "/inference.GRPCInferenceService/"
_LOADS = "the models of the repository are loaded when the server starts; restart it to change them"
_SHARES = "send tensors in the request, and read them from the answer"

UNOFFERED: dict[str, tuple[str, str]] = {  # RPC -> what it would do, what to do instead
    "RepositoryModelLoad": ("load or reload a model while the server runs", _LOADS),
    "RepositoryModelUnload": ("unload a model while the server runs", _LOADS),
    "SystemSharedMemoryStatus": ("list the registered shared-memory regions", _SHARES),
    "SystemSharedMemoryRegister": ("register a shared-memory region for tensors", _SHARES),
    "SystemSharedMemoryUnregister": ("forget a shared-memory region", _SHARES),
    "CudaSharedMemoryStatus": ("list the registered regions of GPU memory", _SHARES),
    "CudaSharedMemoryRegister": ("register a region of GPU memory for tensors", _SHARES),
    "CudaSharedMemoryUnregister": ("forget a region of GPU memory", _SHARES),
    "TraceSetting": (
        "read or change what is traced",
        "ModelStatistics counts the time of each stage",
    ),
    "LogSettings": (
        "read or change what is logged",
        "set the log level when the server is started",
    ),
}


def methods() -> Methods:
    """Every RPC of the table, answered with UNIMPLEMENTED in plain words."""
    return {f"{_SERVICE}{name}": _unoffered(name, *says) for name, says in UNOFFERED.items()}


def _unoffered(name: str, does: str, instead: str) -> Unary:
    async def refuse(message: bytes, call: Call) -> bytes:
        raise Unimplemented(f"{name} would {does}; this version does not offer it: {instead}")

    return Unary(refuse)
