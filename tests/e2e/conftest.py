"""What several of these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.harness.server import ServerProcess
from tests.harness.texts import text_of
from trivet_client import Client

KNOWN = text_of(9)


@pytest.fixture(scope="module")
def known_vector(demo_server: ServerProcess) -> np.ndarray:
    """What `embed` makes of KNOWN when nobody else asks for anything."""
    with Client(demo_server.address) as client:
        return client.embed(KNOWN).vector


@pytest.fixture
def bystander(demo_server: ServerProcess, known_vector: np.ndarray) -> Iterator[Client]:
    """Another caller, who at the end of the test is still answered, and rightly."""
    with Client(demo_server.address, timeout_s=30) as client:
        yield client
        assert demo_server.process.poll() is None, "the server died"
        np.testing.assert_allclose(client.embed(KNOWN).vector, known_vector, atol=1e-5)
        assert client.server_ready()
