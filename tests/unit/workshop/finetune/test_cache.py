"""The folder of features keeps within its size, and lets go of what was not used for longest."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from trivet_backends.workshop.finetune import cache

KB, HOUR_S = 1_000, 3_600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Features of 1 KB each, used 9, 5, 2 and 0 hours ago, and somebody's own folder."""
    for name, hours in (("oldest", 9), ("older", 5), ("old", 2), ("new", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "features.npy").write_bytes(bytes(KB))
        used = time.time() - hours * HOUR_S
        os.utime(tmp_path / name, (used, used))
    (tmp_path / "mine").mkdir()
    return tmp_path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_fits_stays(folder: Path) -> None:
    cache.make_room(folder, KB, 5 * KB)
    assert left(folder) == {"oldest", "older", "old", "new", "mine"}


def test_the_oldest_go_first_and_only_as_many_as_are_needed(folder: Path) -> None:
    cache.make_room(folder, KB, 4 * KB)
    assert left(folder) == {"older", "old", "new", "mine"}
    cache.touch(folder / "older")
    cache.make_room(folder, KB, 3 * KB)
    assert left(folder) == {"older", "new", "mine"}


def test_what_was_used_within_the_hour_and_what_is_not_ours_stays(folder: Path) -> None:
    cache.make_room(folder, KB, 0)
    assert left(folder) == {"new", "mine"}


def test_remains_of_killed_runs_go_even_where_there_is_room(folder: Path) -> None:
    for name, hours in (("killed", 25), ("running", 23)):
        (folder / f"{cache.SCRATCH}{name}").mkdir()
        used = time.time() - hours * HOUR_S
        os.utime(folder / f"{cache.SCRATCH}{name}", (used, used))
    cache.make_room(folder, 0, 100 * KB)
    assert left(folder) >= {f"{cache.SCRATCH}running", "oldest"}
    assert f"{cache.SCRATCH}killed" not in left(folder)


def test_a_cache_that_is_not_there_yet_has_room(tmp_path: Path) -> None:
    cache.make_room(tmp_path / "none", KB, 0)
    assert not (tmp_path / "none").exists()
