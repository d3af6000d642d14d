"""What the README shows a newcomer really runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.server import ServerProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
INFER_LINES = re.findall(r"^\.venv/bin/(trivet infer .*)$", README, re.MULTILINE)


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_python_of_the_readme_runs(block: str, demo_server: ServerProcess) -> None:
    program = block.replace("127.0.0.1:8001", demo_server.address)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


@pytest.mark.parametrize("line", INFER_LINES)
def test_infer_of_the_readme_runs(line: str, demo_server: ServerProcess) -> None:
    command = f"{sys.executable} -m {line} --url {demo_server.address}"
    run = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "door" in run.stdout


def test_the_readme_has_code_to_run() -> None:
    assert len(PYTHON_BLOCKS) >= 2
    assert INFER_LINES


def test_every_word_the_readme_tells_to_make_is_there() -> None:
    words = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "serve"} <= words <= targets
