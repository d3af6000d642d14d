"""The SDK is loaded only where a collector is named, and said to be missing where it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SERVE = """
import sys
{before}
from trivet.cli import main
sys.exit(main(["serve", "--model-repository", {repository!r}, "--grpc-port=0", *{flags!r}]))
"""


def serve(repository: Path, before: str, *flags: str) -> subprocess.CompletedProcess[str]:
    code = SERVE.format(before=before, repository=str(repository), flags=list(flags))
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_missing_package_is_refused_with_the_extra_that_has_it(
    tmp_path: Path, protocol: str
) -> None:
    missing = "sys.modules['opentelemetry'] = None"
    flags = ("--otlp-endpoint=http://127.0.0.1:4318", f"--otlp-protocol={protocol}")
    ended = serve(tmp_path, missing, "--allow-metrics=false", *flags)
    assert ended.returncode != 0
    assert "--otlp-endpoint: opentelemetry" in ended.stderr
    assert "pip install 'trivet[otel]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_variable_that_the_sdk_refuses_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli")
    flags = ("--otlp-endpoint=http://127.0.0.1:4317", "--otlp-protocol=grpc")
    ended = serve(tmp_path, "", "--allow-metrics=false", *flags)
    assert ended.returncode != 0
    assert "environment: OTEL_*" in ended.stderr and "brotli" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_without_a_collector_does_not_load_the_sdk() -> None:
    code = """
import sys
import trivet.app, trivet.cli.flags.groups, trivet.status.pages, trivet.status.sending
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "[]"
