"""The example repository, built once, and one server over it for all tests that only ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.server import ServerProcess, serving

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "model_repository" / "examples"


@pytest.fixture(scope="session")
def examples() -> Path:
    """The example repository, with artifacts; nothing is built that is up to date."""
    command = [sys.executable, "-m", "trivet", "demo", "--build-only"]
    built = subprocess.run(
        [*command, "--model-repository", str(EXAMPLES)], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return EXAMPLES


@pytest.fixture(scope="session")
def demo_server(
    examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server of the example repository. For tests that leave it as they found it."""
    with serving(examples, log=tmp_path_factory.mktemp("server") / "stderr.log") as server:
        yield server
        assert server.process.poll() is None, "the server died while it was tested"
