"""The server as a container runs it: process 1, another user, a read-only file system, no HOME."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import containers
from tests.harness.server import READY
from trivet_client import Client

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("transport", ["grpcio", "h2corn"])
def test_it_serves_and_stops_as_process_1_with_nowhere_to_write(
    examples: Path, transport: str
) -> None:
    line = containers.confined(
        [sys.executable, "-m", "trivet", "serve", f"--model-repository={examples}"], examples
    )
    variables = {"TRIVET_GRPC_PORT": "0", "TRIVET_METRICS_PORT": "0", "TRIVET_TRANSPORT": transport}
    process = subprocess.Popen(
        line,
        env=containers.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        address = next(found[1] for text in process.stdout if (found := READY.search(text)))
        with Client(address) as client:
            assert len(client.embed(["Nowhere to write."]).vectors) == 1
        ready = subprocess.run(
            [sys.executable, "-m", "trivet", "ready", "--url", address], check=False
        )
        subprocess.run(["kill", "-TERM", str(containers.number_1_of(process))], check=True)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (ready.returncode, process.returncode) == (0, 0)
    assert "accepted requests are being finished" in errors
    assert "Traceback" not in errors
