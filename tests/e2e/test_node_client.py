"""The Node.js example, as a stranger runs it, against the example repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.node_packages import PROTOS, ROOT, installed, needs_node
from tests.harness.server import ServerProcess

EXAMPLE = ROOT / "clients" / "node"

pytestmark = needs_node


@pytest.fixture(scope="module")
def example(pytestconfig: pytest.Config) -> Path:
    return installed(EXAMPLE, pytestconfig)


def run_example(folder: Path, address: str) -> subprocess.CompletedProcess[str]:
    command = ["node", "example.mjs", address, str(PROTOS)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_node_fills_masks_embeds_and_streams(example: Path, demo_server: ServerProcess) -> None:
    ended = run_example(example, demo_server.address)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "He opened the [MASK] and walked into the room."
    assert lines[1].split()[1:] == ["%", "door"]
    cosine = float(lines[4].split()[1].rstrip(":"))
    assert 0.4 < cosine < 1  # two ways to say one thing
    streamed = sorted(lines[6:9])  # they come as they are ready
    assert streamed[0] == "  text 0: 384 numbers, 5 tokens"
    assert streamed[1].startswith("  text 1: refused, ")
    assert streamed[2] == "  text 2: 384 numbers, 13 tokens"
    assert lines[9:] == ["embed version 1: EMBEDDING FP32 [1,384], length 1.000"]


def test_node_says_in_one_line_that_no_server_answers(example: Path) -> None:
    ended = run_example(example, "127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("127.0.0.1:1: UNAVAILABLE: ")
    assert ended.stderr.count("\n") == 1
