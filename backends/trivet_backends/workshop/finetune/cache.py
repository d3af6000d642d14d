"""The folder of features, kept within a size: what was not used for longest goes first.

A run that reads features while they are removed reads on: the file is mapped, and lasts with that.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

SCRATCH = ".features-"  # how a folder that is being written is called
# What was used by now may be of this very run, or of one beside it; what is being written, too.
_IN_USE_S = 3600


def touch(folder: Path) -> None:
    """Say that these features were used now."""
    os.utime(folder)


def make_room(cache: Path, needed: int, most: int) -> None:
    """Remove the oldest features until `needed` bytes more make no more than `most`.

    Whatever was used within the last hour stays, and remains of killed runs go after that.
    """
    if not cache.is_dir():
        return
    before = time.time() - _IN_USE_S
    ours = [folder for folder in cache.iterdir() if _is_ours(folder)]
    aged = sorted((folder.stat().st_mtime, folder) for folder in ours)
    total = sum(_size(folder) for _, folder in aged) + needed
    for used, folder in aged:
        if used >= before or (total <= most and not folder.name.startswith(SCRATCH)):
            continue
        total -= _size(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Nothing else is removed: a person may have named any folder with --cache."""
    return folder.is_dir() and (
        folder.name.startswith(SCRATCH) or (folder / "features.npy").is_file()
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
