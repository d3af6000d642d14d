"""The Node.js example, as a stranger runs it, against the example repository."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.server import ServerProcess

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "clients" / "node"
PROTOS = ROOT / "protos" / "trivet_protos"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="node or npm is not installed",
)


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    """The example with its locked packages: outside the sources, kept until the lock changes."""
    lock = (EXAMPLE / "package-lock.json").read_bytes()
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("node-example-" + hashlib.sha256(lock).hexdigest()[:16])
    for name in ("package.json", "package-lock.json", "example.mjs"):
        shutil.copy(EXAMPLE / name, folder)
    if not (folder / "node_modules" / ".package-lock.json").exists():  # npm's last step
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        npm = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
        assert npm.returncode == 0, npm.stderr
    return folder


def run_example(folder: Path, address: str) -> subprocess.CompletedProcess[str]:
    command = ["node", "example.mjs", address, str(PROTOS)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_node_fills_masks_embeds_and_streams(installed: Path, demo_server: ServerProcess) -> None:
    ended = run_example(installed, demo_server.address)
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


def test_node_says_in_one_line_that_no_server_answers(installed: Path) -> None:
    ended = run_example(installed, "127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("127.0.0.1:1: UNAVAILABLE: ")
    assert ended.stderr.count("\n") == 1
