"""Promise: a request is never answered with anything but its own data, whatever its company."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.harness.server import ServerProcess
from tests.harness.texts import mixed_lengths, text_of
from trivet_client import AsyncClient, Client

CALLERS = 48
PER_CALLER = 5


@pytest.fixture(scope="module")
def alone(demo_server: ServerProcess) -> dict[str, np.ndarray]:
    """Texts of many lengths, each embedded by itself."""
    lengths = sorted(set(mixed_lengths(CALLERS * PER_CALLER)))[:60]
    texts = [text_of(tokens, seed=tokens) for tokens in lengths]
    with Client(demo_server.address) as client:
        return {text: client.embed([text]).vectors[0] for text in texts}


async def test_every_caller_gets_the_embeddings_of_its_own_texts(
    demo_server: ServerProcess, alone: dict[str, np.ndarray]
) -> None:
    texts = list(alone)

    async def call(number: int) -> None:
        rng = np.random.default_rng(number)
        async with AsyncClient(demo_server.address) as client:
            for _ in range(PER_CALLER):
                mine = [texts[i] for i in rng.choice(len(texts), rng.integers(1, 6))]
                vectors = (await client.embed(mine)).vectors
                expected = np.stack([alone[text] for text in mine])
                np.testing.assert_allclose(vectors, expected, atol=1e-5)

    await asyncio.gather(*(call(number) for number in range(CALLERS)))
