"""The example with generated code for gRPC-Web, as a stranger runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.node_packages import ROOT, generated, installed, needs_node
from tests.harness.server import serving
from tests.harness.transports import serving_on
from trivet.transport.options import Transport

pytestmark = needs_node


@pytest.fixture(scope="module")
def example(pytestconfig: pytest.Config) -> Path:
    folder = installed(ROOT / "clients" / "connect", pytestconfig)
    generated(folder)
    return folder


@pytest.fixture(scope="module")
def address(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("h2corn")
    log = tmp_path_factory.mktemp("connect") / "stderr.log"
    with serving_on(Transport.H2CORN), serving(examples, "--allow-grpc-web=true", log=log) as up:
        yield up.address


def run_example(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = ["node", "example.mjs", url]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_it_watches_fills_masks_compares_and_asks_by_kserve(example: Path, address: str) -> None:
    ended = run_example(example, f"http://{address}")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[:2] == [
        "the server is SERVING",
        "He opened the [MASK] and walked into the room.",
    ]
    assert lines[2].split()[1:] == ["%", "door"]
    cosine = float(lines[5].split()[1].rstrip(":"))
    assert 0.4 < cosine < 1  # two ways to say one thing
    assert lines[6:] == ["embed version 1: EMBEDDING FP32 [1,384], length 1.000"]


def test_it_says_in_one_line_that_no_server_answers(example: Path) -> None:
    ended = run_example(example, "http://127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("http://127.0.0.1:1: ")
    assert ended.stderr.count("\n") == 1
