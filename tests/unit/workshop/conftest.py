"""A tiny checkpoint that many tests build from, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.workshop.checkpoints import Recipe, write_checkpoint


@pytest.fixture(scope="session")
def fill_mask_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a masked language model head. Tests leave it as it is."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-mlm")


@pytest.fixture(scope="session")
def embed_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of an encoder alone. Tests leave it as it is."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", Recipe(head=False))
