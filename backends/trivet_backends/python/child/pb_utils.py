"""What model.py imports as `triton_python_backend_utils`: Triton's names, made here."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from trivet_backends.python.child.errors import TritonError, TritonModelException
from trivet_backends.python.child.model_config import (
    TRITON_STRING_TO_NUMPY,
    ModelConfig,
    get_input_config_by_name,
    get_output_config_by_name,
    triton_string_to_numpy,
)
from trivet_backends.python.child.request import (
    ALL,
    FINAL,
    RESCHEDULE,
    SEQUENCE_END,
    SEQUENCE_START,
    InferenceRequest,
    InferenceResponse,
    InferenceResponseSender,
)
from trivet_backends.python.child.tensor import Tensor

__all__ = [
    "TRITONSERVER_MEMORY_CPU",
    "TRITONSERVER_MEMORY_GPU",
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_END",
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_START",
    "TRITONSERVER_REQUEST_RELEASE_ALL",
    "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE",
    "TRITONSERVER_RESPONSE_COMPLETE_FINAL",
    "TRITON_STRING_TO_NUMPY",
    "InferenceRequest",
    "InferenceResponse",
    "InferenceResponseSender",
    "Logger",
    "ModelConfig",
    "PreferredMemory",
    "Tensor",
    "TritonError",
    "TritonModelException",
    "get_input_config_by_name",
    "get_input_tensor_by_name",
    "get_model_dir",
    "get_output_config_by_name",
    "get_output_tensor_by_name",
    "triton_string_to_numpy",
    "using_decoupled_model_transaction_policy",
]

TRITONSERVER_RESPONSE_COMPLETE_FINAL = FINAL
TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = SEQUENCE_START
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = SEQUENCE_END
TRITONSERVER_REQUEST_RELEASE_ALL = ALL
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = RESCHEDULE
TRITONSERVER_MEMORY_CPU, TRITONSERVER_MEMORY_GPU = 0, 2

_model_dir = ""  # set by `loading`, when model.py is found


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """None if the request has no input of that name."""
    return next((t for t in inference_request.inputs() if t.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """None if the response has no output of that name."""
    return next((t for t in inference_response.output_tensors() if t.name() == name), None)


def using_decoupled_model_transaction_policy(model_config: dict[str, object]) -> bool:
    """model_config: parsed from JSON."""
    policy = model_config.get("model_transaction_policy", {})
    return isinstance(policy, dict) and bool(policy.get("decoupled", False))


def get_model_dir() -> str:
    """The version's folder."""
    return _model_dir


def __getattr__(name: str) -> NoReturn:
    """Raises AttributeError for what Triton's module has, or may have, and this one has not."""
    raise AttributeError(f"this server's pb_utils has no '{name}'")


class PreferredMemory:
    """Taken and without effect: memory is always the CPU's."""

    def __init__(self, memory_type: int = 0, memory_type_id: int = 0) -> None:
        self.memory_type, self.memory_type_id = memory_type, memory_type_id


class Logger:
    """Lines in the server's log, each with its level; what is printed is logged as info."""

    INFO, WARNING, ERROR, VERBOSE = "I", "W", "E", "V"

    @classmethod
    def log(cls, message: str, level: str = INFO) -> None:
        """level: one of the four above."""
        # One write per line: threads must not mix theirs. The server takes the mark off again.
        lines = "".join(f"\x1e{level}{line}\n" for line in str(message).splitlines())
        sys.stdout.flush()
        os.write(2, lines.encode("utf-8", "replace"))

    @classmethod
    def log_info(cls, message: str) -> None:
        cls.log(message, cls.INFO)

    @classmethod
    def log_warn(cls, message: str) -> None:
        cls.log(message, cls.WARNING)

    @classmethod
    def log_error(cls, message: str) -> None:
        cls.log(message, cls.ERROR)

    @classmethod
    def log_verbose(cls, message: str) -> None:
        cls.log(message, cls.VERBOSE)
