"""What the README shows a newcomer really runs."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.server import ServerProcess
from trivet import plugins
from trivet.cli.command import Command
from trivet.transport.options import Transport

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PAGES = {
    "README": README,
    "clients": (ROOT / "clients" / "README.md").read_text(),
    "operating": (ROOT / "server" / "OPERATING.md").read_text(),
    "workshop": (ROOT / "backends" / "trivet_backends" / "workshop" / "README.md").read_text(),
}
COMMANDS = [
    (page, line.replace("\\\n", " ").removeprefix(".venv/bin/trivet "))
    for page, text in PAGES.items()
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for line in re.findall(r"^\.venv/bin/trivet (?:.*\\\n)*.*$", block, re.MULTILINE)
]
INFER_LINES = re.findall(r"^\.venv/bin/(trivet infer .*)$", README, re.MULTILINE)


@pytest.fixture(scope="module")
def transport() -> Transport:
    """One is enough here: what is looked at is whether the words of the README hold."""
    return Transport.GRPCIO


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


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_commands_of_the_pages_are_understood(page: str, line: str) -> None:
    """Every flag is there and takes what is shown; what it does has tests of its own."""
    name, *words = shlex.split(line)
    command: Command = plugins.load(plugins.entries(plugins.COMMANDS)[name], name)
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    command.add_arguments(parser)
    parser.parse_args(words)


def test_the_readme_has_code_to_run() -> None:
    assert len(PYTHON_BLOCKS) >= 2
    shown = {page: {line.split()[0] for of, line in COMMANDS if of == page} for page in PAGES}
    assert {"finetune", "quantize", "tune", "export", "build"} <= shown["workshop"]
    assert {"check", "serve", "ready"} <= shown["operating"]
    assert INFER_LINES


def test_every_word_the_readme_tells_to_make_is_there() -> None:
    words = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "serve"} <= words <= targets
