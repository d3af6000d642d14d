"""No engine reports its use to anybody unless the operator wants it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SAY = "import os, trivet_backends.onnxruntime; print(os.environ['ORT_DISABLE_TELEMETRY'])"


@pytest.mark.parametrize(("said", "holds"), [(None, "1"), ("0", "0")])
def test_onnx_runtime_reports_only_if_told_to(said: str | None, holds: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    if said is not None:
        environment["ORT_DISABLE_TELEMETRY"] = said
    ran = subprocess.run(
        [sys.executable, "-c", SAY], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == holds
