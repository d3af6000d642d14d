"""Publishing into a model repository: copy, check, rename - a version appears whole or not at all.

What is written goes into a hidden folder of the repository first, hence to the same file system.
Only when every model of a build is written and has passed its check are they renamed into place,
and if that fails half-way, the renames are undone. A build that was killed leaves its hidden folder
behind; the next one removes it.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build_file import (
    BuildFile,
    Json,
    as_read,
    read_build_file,
    write_build_file,
)
from trivet_backends.workshop.config_text import is_of_a_build, is_untouched

CONFIG = "config.pbtxt"
_SCRATCH_PREFIX = ".trivet-build-"
_LOCK = "lock"
_STEP = re.compile(r'^ +model_name: "([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model to be published.

    write: called with the version's new, empty folder; returns what it measured. Whatever it
    raises calls the whole build off.
    """

    model: str
    kind: str
    source: str  # the name of the checkpoint's folder
    config: str  # text of config.pbtxt
    recipe: Mapping[str, Json]  # all that decides what `write` writes
    write: Callable[[Path], Mapping[str, Json]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of an entry."""

    model: str
    version: int
    is_new: bool
    build: BuildFile
    note: str  # what a person should know of config.pbtxt; mostly nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    entry: Entry
    version: int
    built: BuildFile | None  # of that version, if it is up to date


def publish(repository: Path, entries: Sequence[Entry]) -> list[Published]:
    """Make the repository hold these entries, each as its model's newest version.

    Raises InvalidConfig if a name is taken by a model of another origin or kind, and whatever an
    entry's `write` raises; the repository is as it was then.
    """
    _check_names(repository, entries)
    plans = [_plan(repository, entry) for entry in entries]
    try:
        with scratch_folder(repository) as scratch:
            builds = [plan.built or _write(scratch, plan) for plan in plans]
            with ExitStack() as undo:
                notes = [_put_in_place(repository, scratch, plan, undo) for plan in plans]
                undo.pop_all()  # all in place: nothing is taken back any more
    except OSError as error:
        found, cure = f"cannot be written ({error.strerror})", "check its permissions and its disk"
        raise InvalidConfig([Fault(str(repository), found, cure)]) from error
    return [
        Published(
            model=plan.entry.model,
            version=plan.version,
            is_new=plan.built is None,
            build=build,
            note=note,
        )
        for plan, build, note in zip(plans, builds, notes, strict=True)
    ]


def _check_names(repository: Path, entries: Sequence[Entry]) -> None:
    faults: list[Fault] = []
    names = [entry.model for entry in entries]
    for name in sorted({name for name in names if names.count(name) > 1}):
        cure = "give --name and --pipeline different names"
        faults.append(Fault(name, "would name two models of this build", cure))
    for entry in entries:
        _check_is_ours(repository / entry.model, entry.kind, faults)
    if faults:
        raise InvalidConfig(faults)


def _check_is_ours(folder: Path, kind: str, faults: list[Fault]) -> None:
    if not folder.exists():
        return
    if _is_bare(folder):
        return
    builds = [read_build_file(folder / str(version)) for version in _versions(folder)]
    kinds = {build.kind for build in builds if build}
    cure = "choose another name with --name or --pipeline, or move it away"
    if not kinds:
        found = "is there already and was not written by trivet build"
        faults.append(Fault(str(folder), found, cure))
    elif kind not in kinds:
        found = f"is there already as the {min(kinds)} of another build, this would be a {kind}"
        faults.append(Fault(str(folder), found, cure))


def _is_bare(folder: Path) -> bool:
    """Whether nothing but a build's config is there, as in a checkout that leaves artifacts out."""
    config = folder / CONFIG
    if _versions(folder) or not config.is_file():
        return False
    return is_of_a_build(config.read_text(encoding="utf-8", errors="replace"))


def _versions(folder: Path) -> list[int]:
    """The version numbers in a model's folder, ascending."""
    if not folder.is_dir():
        return []
    names = (child.name for child in folder.iterdir() if child.is_dir())
    return sorted(int(name) for name in names if name.isdecimal() and name[0] != "0")


def _plan(repository: Path, entry: Entry) -> _Plan:
    folder = repository / entry.model
    newest = max(_versions(folder), default=0)
    built = read_build_file(folder / str(newest))
    if built and built.recipe == as_read(entry.recipe) and built.is_whole(folder / str(newest)):
        return _Plan(entry=entry, version=newest, built=built)
    return _Plan(entry=entry, version=newest + 1, built=None)


@contextmanager
def scratch_folder(repository: Path) -> Iterator[Path]:
    """A hidden folder in the repository for as long as the block lasts."""
    made = not repository.exists()
    repository.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(repository)
    folder = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=repository))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(
                lock, fcntl.LOCK_EX
            )  # held by whoever builds; the kernel lets go if it dies
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made:
            with suppress(OSError):  # not empty: the build went well
                repository.rmdir()


def _remove_abandoned(repository: Path) -> None:
    """Remove the hidden folders of builds that are no longer running."""
    for folder in repository.glob(f"{_SCRATCH_PREFIX}*"):
        with suppress(OSError), (folder / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it is running
            shutil.rmtree(folder, ignore_errors=True)


def _write(scratch: Path, plan: _Plan) -> BuildFile:
    entry = plan.entry
    folder = scratch / entry.model / str(plan.version)
    folder.mkdir(parents=True)
    measured = entry.write(folder)
    return write_build_file(folder, entry.kind, entry.source, entry.recipe, measured)


def _put_in_place(repository: Path, scratch: Path, plan: _Plan, undo: ExitStack) -> str:
    """Rename one model into place; `undo` learns how to take it back. Returns the note."""
    written, target = scratch / plan.entry.model, repository / plan.entry.model
    if not target.exists():
        (written / CONFIG).write_text(plan.entry.config, encoding="utf-8")
        _rename(written, target, undo)
        return ""
    if plan.built is None:
        _rename(written / str(plan.version), target / str(plan.version), undo)
    return _update_config(target / CONFIG, plan.entry.config, scratch, undo)


def _update_config(path: Path, text: str, scratch: Path, undo: ExitStack) -> str:
    """Replace config.pbtxt if it is as a build wrote it, or gone."""
    old = text
    if path.exists():
        old = path.read_text(encoding="utf-8")
        if old == text:
            return ""
        if not is_untouched(old):
            return f"{CONFIG} was edited by hand and is kept"
        undo.callback(path.write_text, old, encoding="utf-8")
    else:
        undo.callback(path.unlink, missing_ok=True)
    fresh = scratch / f"{path.parent.name}.{CONFIG}"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return f"{CONFIG} is rewritten{_other_steps(old, text)}"


def _other_steps(old: str, new: str) -> str:
    """Which model a pipeline asks no more: its callers get another's answers from now on."""
    before, after = (frozenset(_STEP.findall(text)) for text in (old, new))
    if not before - after or not after - before:
        return ""
    gone, come = (min(names, key=len) for names in (before - after, after - before))
    return f": it runs {come}, no longer {gone}; --pipeline gives each its own"


def _rename(source: Path, target: Path, undo: ExitStack) -> None:
    try:
        source.rename(target)
    except OSError as error:
        cure = "another build may have published it just now; build again"
        raise InvalidConfig([Fault(str(target), f"cannot be made ({error})", cure)]) from error
    undo.callback(target.rename, source)
