"""The example repository, built once, and one server over it for all tests that only ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from trivet.transport.options import Transport

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


@pytest.fixture(scope="module", params=Transport)
def transport(request: pytest.FixtureRequest) -> Transport:
    """Each in turn, for every test that asks for it or for a server that does.

    A fixture that lives longer than a test and starts a server asks for it by name, or its server
    would stay on the first.
    """
    if request.param is Transport.H2CORN:
        pytest.importorskip("h2corn")
    chosen: Transport = request.param
    return chosen


@pytest.fixture
def on_transport(transport: Transport) -> Iterator[None]:
    """For servers that a test starts itself."""
    with serving_on(transport):
        yield


@pytest.fixture(scope="session")
def demo_servers(
    examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Transport], ServerProcess]]:
    """A server of the example repository for each transport that is asked for."""
    with ExitStack() as stack:

        @cache
        def server_on(transport: Transport) -> ServerProcess:
            log = tmp_path_factory.mktemp("server") / "stderr.log"
            return stack.enter_context(serving(examples, f"--transport={transport}", log=log))

        yield server_on


@pytest.fixture(scope="module")
def demo_server(
    transport: Transport, demo_servers: Callable[[Transport], ServerProcess]
) -> Iterator[ServerProcess]:
    """A server of the example repository. For tests that leave it as they found it."""
    server = demo_servers(transport)
    yield server
    assert server.process.poll() is None, "the server died while it was tested"
