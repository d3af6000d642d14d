"""The RPCs of GRPCInferenceService that this version does not offer, each with what it would do."""

from __future__ import annotations

from trivet.errors import Unimplemented
from trivet.frontend.method import Call, Methods, Unary

_SERVICE = "/inference.GRPCInferenceService/"
_LOADS = "the models of the repository are loaded when the server starts; restart it to change them"

UNOFFERED: dict[str, tuple[str, str]] = {  # RPC -> what it would do, what to do instead
    "RepositoryModelLoad": ("load or reload a model while the server runs", _LOADS),
    "RepositoryModelUnload": ("unload a model while the server runs", _LOADS),
}


def methods() -> Methods:
    """Every RPC of the table, answered with UNIMPLEMENTED in plain words."""
    return {f"{_SERVICE}{name}": _unoffered(name, *says) for name, says in UNOFFERED.items()}


def _unoffered(name: str, does: str, instead: str) -> Unary:
    async def refuse(message: bytes, call: Call) -> bytes:
        raise Unimplemented(f"{name} would {does}; this version does not offer it: {instead}")

    return Unary(refuse)
