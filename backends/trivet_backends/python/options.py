"""What a model's config may set, and the interpreter that runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from trivet.backend.contract import LoadContext
from trivet_backends.parameters import Parameter, Reader, text, whole
from trivet_backends.python.process import Settings

ENVIRONMENT = text(
    "EXECUTION_ENV_PATH",
    "",
    "The environment whose Python runs the model: its folder, or the interpreter itself. It needs"
    " Python 3.11 and numpy. Default: the server's own.",
)
RING_BYTES = whole(
    "ring_bytes",
    1 << 20,
    "Shared memory of each direction; longer messages pass in pieces.",
    at_least=64,
)
CLOSE_TIMEOUT_S = whole(
    "close_timeout_s", 10, "Seconds that close or finalize may take before the process is killed."
)
PARAMETERS: tuple[Parameter[Any], ...] = (ENVIRONMENT, RING_BYTES, CLOSE_TIMEOUT_S)

_MODEL_DIRECTORY = "$$TRITON_MODEL_DIRECTORY"  # Triton's word for the model's folder


def settings(reader: Reader, context: LoadContext) -> Settings:
    """What a config's parameters say; what is wrong is added to the reader's faults."""
    return Settings(
        python=_interpreter(reader, context),
        ring_bytes=reader.value(RING_BYTES),
        threads=context.threads,
        finalize_s=reader.value(CLOSE_TIMEOUT_S),
    )


def _interpreter(reader: Reader, context: LoadContext) -> str:
    written = reader.value(ENVIRONMENT)
    if not written:
        return sys.executable
    path = Path(written.replace(_MODEL_DIRECTORY, str(context.path.parent)))
    if path.is_dir():
        path = path / "bin" / "python"
    if path.name.endswith((".tar.gz", ".tgz", ".zip")):
        cure = "unpack it beside the repository, and name the folder"
        reader.fault(ENVIRONMENT.name, f"'{written}' is an archive", cure)
    elif not path.is_absolute() or not path.name.startswith("python"):
        cure = "give the absolute path of an environment's folder, or of its bin/python"
        reader.fault(ENVIRONMENT.name, f"'{written}' names no interpreter", cure)
    elif not (path.is_file() and os.access(path, os.X_OK)):
        cure = "make the environment, or correct the path"
        reader.fault(ENVIRONMENT.name, f"there is no interpreter in '{written}'", cure)
    return str(path)
