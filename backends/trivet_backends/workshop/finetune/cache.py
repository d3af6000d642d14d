"""The folder of features, kept within a size: what was not used for longest goes first.

A run that reads features while they are removed reads on: the file is mapped, and lasts with that.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SCRATCH = ".features-"  # how a folder that is being written is called
# What was used by now may be of this very run, or of one beside it.
_IN_USE_S = 3600
_UNFINISHED_S = 24 * 3600  # whoever has not written a folder by then was killed


def touch(folder: Path) -> None:
    """Say that these features were used now."""
    os.utime(folder)


def make_room(cache: Path, needed: int, most: int) -> None:
    """Remove the oldest features until `needed` bytes more make no more than `most`.

    Whatever was used within the last hour stays. Remains of killed runs go after a day.
    """
    if not cache.is_dir():
        return
    now = time.time()
    found = sorted(_found(cache))
    total = sum(size for _, size, _ in found) + needed
    for used, size, folder in found:
        if folder.name.startswith(SCRATCH):
            goes = used < now - _UNFINISHED_S
        else:
            goes = used < now - _IN_USE_S and total > most
        if goes:
            total -= size
            shutil.rmtree(folder, ignore_errors=True)


def _found(cache: Path) -> Iterator[tuple[float, int, Path]]:
    """(when it was used, bytes, folder), of features alone: --cache may name any folder."""
    for folder in cache.iterdir():
        if folder.name.startswith(SCRATCH) or (folder / "features.npy").is_file():
            with suppress(FileNotFoundError):  # another run removed it meanwhile
                size = sum(path.stat().st_size for path in folder.iterdir())
                yield folder.stat().st_mtime, size, folder
