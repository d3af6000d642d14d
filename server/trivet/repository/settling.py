"""When a folder that changes is taken: when it has been still for a while, or came in one piece.

Pure. A version that is being copied in is not loaded half-way; one that was copied elsewhere,
checked and then renamed to its place is taken at the first look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trivet.repository.layout import ModelFolder, Snapshot


@dataclass(frozen=True, slots=True)
class Moving:
    """A folder that changed since it was taken last, as it was found at `since_ns`."""

    folder: ModelFolder
    since_ns: int


@dataclass(frozen=True, slots=True)
class Still:
    """What is remembered from look to look, by model: folders as taken, and those that change."""

    taken: Mapping[str, ModelFolder] = field(default_factory=dict)
    moving: Mapping[str, Moving] = field(default_factory=dict)


def taken_at_once(snapshot: Snapshot) -> Still:
    """What is remembered after a snapshot was taken as it was."""
    return Still({folder.name: folder for folder in snapshot.folders})


def settle(looked: Snapshot, still: Still, now_ns: int, quiet_ns: int) -> tuple[Snapshot, Still]:
    """The snapshot with only what is settled, and what to remember for the next look.

    A folder that changes is replaced by the one taken before, or left out if it is new. quiet_ns:
    how long it has to be found unchanged.
    """
    taken: dict[str, ModelFolder] = {}
    moving: dict[str, Moving] = {}
    for folder in looked.folders:
        before, last = still.taken.get(folder.name), still.moving.get(folder.name)
        if _settled(folder, before, last, now_ns - quiet_ns):
            taken[folder.name] = folder
            continue
        same = last is not None and last.folder.holds_the_same(folder)
        moving[folder.name] = last if last and same else Moving(folder, now_ns)
        if before:
            taken[folder.name] = before
    folders = tuple(folder for _, folder in sorted(taken.items()))
    return replace(looked, folders=folders), Still(taken, moving)


def _settled(
    folder: ModelFolder, before: ModelFolder | None, last: Moving | None, quiet_since_ns: int
) -> bool:
    if before is not None and before.holds_the_same(folder):
        return True
    if last is not None and last.folder.holds_the_same(folder):
        return last.since_ns <= quiet_since_ns
    if before is None or before.path != folder.path:
        return folder.is_whole
    changed = {v for v, told in folder.prints.items() if before.prints.get(v) != told}
    beside = (before.config_text, before.shared) == (folder.config_text, folder.shared)
    return beside and changed <= folder.whole
