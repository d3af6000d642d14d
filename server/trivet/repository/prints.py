"""What a folder holds, told without reading more than was touched.

The file system's stamps are asked first; a small file whose stamp is new is read, and counts as
changed only if what it holds has. So a touched file is no change, and an idle look reads nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

# Bytes. A larger file is told by its size, time and inode alone: reading a gigabyte of weights to
# learn that they were only touched costs more than loading them again.
SMALL = 4 << 20

_UNFINISHED = (".tmp", ".part", ".partial", ".swp", "~")
_DEPTH = 8  # folders within folders; a link may lead round in a circle


class Stamp(NamedTuple):
    """One entry as the file system tells it. path: below the folder looked at, with "/"."""

    path: str
    is_folder: bool
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def changed_ns(self) -> int:
        return max(self.mtime_ns, self.ctime_ns)


def is_passed_over(name: str) -> bool:
    """Whether an entry is hidden, or named as something that is still being written."""
    return name.startswith(".") or name.endswith(_UNFINISHED)


def stamps(folder: Path) -> tuple[Stamp, ...]:
    """Every entry below a folder, sorted by path. Raises OSError if it cannot be listed."""
    found: list[Stamp] = []
    _add_stamps(str(folder), "", _DEPTH, found)
    found.sort()
    return tuple(found)


def arrived_whole(folder: Path, inside: Iterable[Stamp]) -> bool:
    """Whether a folder was moved to its place after all in it was written.

    A rename is the last thing that happened to such a folder; where files are still being copied
    into it, they or the folder's own list are as new. Where the times are too coarse to tell, no.
    """
    own = folder.stat()
    newest = max((stamp.changed_ns for stamp in inside), default=own.st_mtime_ns)
    return own.st_ctime_ns > max(newest, own.st_mtime_ns)


class Digests:
    """What the files of one folder hold; remembered as long as their stamps stay."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Stamp, str]] = {}

    def of(self, folder: Path, inside: Iterable[Stamp]) -> str:
        """One digest of all that lies at these places. Raises OSError for what cannot be read."""
        whole = blake2b(digest_size=16)
        for stamp in inside:
            whole.update(f"{stamp.path}\0{self._content(folder, stamp)}\0".encode())
        return whole.hexdigest()

    def forget_others(self, inside: Iterable[Stamp]) -> None:
        """Keep only what is known of these places."""
        paths = {stamp.path for stamp in inside}
        self._known = {path: known for path, known in self._known.items() if path in paths}

    def _content(self, folder: Path, stamp: Stamp) -> str:
        if stamp.is_folder:
            return ""
        known = self._known.get(stamp.path)
        if known is None or known[0] != stamp:
            known = stamp, _digest(folder, stamp)
            self._known[stamp.path] = known
        return known[1]


def _digest(folder: Path, stamp: Stamp) -> str:
    path = folder / stamp.path
    if stamp.size > SMALL or not path.is_file():  # a device or a pipe is never read
        return f"{stamp.size} {stamp.mtime_ns} {stamp.inode}"
    return blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _add_stamps(folder: str, below: str, depth: int, found: list[Stamp]) -> None:
    """Ask for what is needed and no more: this runs over every file of every model at each poll."""
    with os.scandir(folder) as entries:
        listed = [entry for entry in entries if not is_passed_over(entry.name)]
    for entry in listed:
        try:
            told = entry.stat()
        except OSError:  # a link to nothing, or gone since it was listed
            continue
        path, is_folder = below + entry.name, stat.S_ISDIR(told.st_mode)
        size = 0 if is_folder else told.st_size
        found.append(Stamp(path, is_folder, size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino))
        if is_folder and depth:
            _add_stamps(entry.path, f"{path}/", depth - 1, found)
