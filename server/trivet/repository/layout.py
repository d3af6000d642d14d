"""What lies in a model repository: `<repository>/<model>/{config.pbtxt, <version>/...}`.

Only looked at, never judged: whether a model can be served is for others to say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from trivet.config_file import Faults
from trivet.errors import Fault
from trivet.repository.prints import Digests, Stamp, arrived_whole, is_passed_over, stamps

CONFIG_NAME = "config.pbtxt"

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@ -]*")
_VERSION_NAME = re.compile(r"[1-9][0-9]{0,17}")  # fits int64, as the protocol carries it
_OWN_FOLDERS = frozenset({"configs", "initial_state", "labels", "warmup"})  # that are no versions


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """One model's folder.

    config_text: of config.pbtxt; None where there is none. versions: ascending. filenames: what
    each version's folder holds, sorted. notes: entries that were passed over, and why.
    shared: a digest of what lies beside the versions (labels, warm-up data), without the config;
    prints: one of each version's files. whole: versions that were moved there in one piece.
    """

    name: str
    path: Path
    config_text: str | None = None
    versions: tuple[int, ...] = ()
    filenames: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    shared: str = field(default="", compare=False)
    prints: Mapping[int, str] = field(default_factory=dict, compare=False)
    whole: frozenset[int] = field(default=frozenset(), compare=False)
    is_whole: bool = field(default=False, compare=False)  # the folder itself was moved there

    @property
    def config_name(self) -> str:
        """How messages name the config file."""
        return f"{self.name}/{CONFIG_NAME}"

    def version_path(self, version: int) -> Path:
        return self.path / str(version)

    def holds_the_same(self, other: ModelFolder) -> bool:
        """Whether the two hold the same config, the same versions and the same files."""
        return (self.path, self.config_text, self.shared, self.prints) == (
            other.path,
            other.config_text,
            other.shared,
            other.prints,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The models of all repositories at one moment, sorted by name.

    broken: models whose folder cannot be read, and why. away: models that lie, as far as last
    seen, in a repository that cannot be read now, and why; they are among the folders.
    """

    folders: tuple[ModelFolder, ...] = ()
    broken: Mapping[str, Fault] = field(default_factory=dict)
    away: Mapping[str, Fault] = field(default_factory=dict)

    def folder(self, name: str) -> ModelFolder | None:
        return next((folder for folder in self.folders if folder.name == name), None)

    def with_folder(self, folder: ModelFolder) -> Snapshot:
        """The same with this folder, in place of the one of its name if there is one."""
        folders = {other.name: other for other in self.folders} | {folder.name: folder}
        return replace(self, folders=tuple(folder for _, folder in sorted(folders.items())))

    def without(self, name: str) -> Snapshot:
        """The same without the model of this name."""
        return replace(self, folders=tuple(one for one in self.folders if one.name != name))


def is_model_name(name: str) -> bool:
    return bool(_MODEL_NAME.fullmatch(name))


def is_version_name(name: str) -> bool:
    return bool(_VERSION_NAME.fullmatch(name))


def read_repositories(repositories: Sequence[Path], faults: Faults) -> Snapshot:
    """Look at every model of the repositories once; see `Reader.read`."""
    return Reader(repositories).read(faults)


class Reader:
    """Looks at repositories again and again; what did not change is not read again."""

    def __init__(self, repositories: Sequence[Path]) -> None:
        self._repositories = repositories
        self._models: dict[Path, _Model] = {}
        self._last: dict[Path, _Listing] = {}
        self._looking = Lock()  # looks may be asked for in several threads

    def read(self, faults: Faults) -> Snapshot:
        """Look at every model; hidden entries, unfinished ones and plain files are passed over.

        What cannot be read is added to `faults` and left out: a model with a name that cannot be
        served, an unreadable one, and the second of two models with one name. A repository that
        could be read before and cannot now counts as it was (`Snapshot.away`).
        Raises InvalidConfig naming every repository that never could be read.
        """
        with self._looking:
            return self._read(faults)

    def _read(self, faults: Faults) -> Snapshot:
        unreadable = Faults()
        listings = {path: self._listing(path, unreadable, faults) for path in self._repositories}
        unreadable.raise_if_any()
        found: dict[str, ModelFolder] = {}
        broken: dict[str, Fault] = {}
        away: dict[str, Fault] = {}
        for path in (path for listing in listings.values() for path in listing.models):
            first = found.get(path.name)
            listing = listings[path.parent]
            if first is not None:
                what = f"there is a model of this name in {first.path.parent}, too"
                faults.add(f"{path.parent}: {path.name}", what, "rename or remove one of them")
            elif folder := self._folder(path, listing, faults, broken):
                found[path.name] = folder
                if listing.away:
                    away[path.name] = listing.away
        self._models = {path: model for path, model in self._models.items() if path.name in found}
        folders = tuple(folder for _, folder in sorted(found.items()))
        return Snapshot(folders, broken, away)

    def _listing(self, repository: Path, unreadable: Faults, faults: Faults) -> _Listing:
        """What may be models; as last seen, and why, where the repository cannot be read now."""
        own, last = Faults(), self._last.get(repository)
        listing = _listed(repository, last, own)
        gone = next(iter(own), None)
        if last and not gone and last.models and not listing.models and last.id != listing.id:
            # A mount point without its disk is another folder, and empty.
            cure = "mount it again"
            gone = Fault(repository.name, "is another folder than before, and empty", cure)
        if gone is None:
            self._last[repository] = listing
            return listing
        if last is None:
            unreadable.extend(own)
            return listing
        faults.add(gone.where, gone.what, gone.cure)
        reason = Fault(f"repository '{repository.name}'", gone.what, "served as it was last seen")
        return replace(last, away=reason)

    def _folder(
        self, path: Path, listing: _Listing, faults: Faults, broken: dict[str, Fault]
    ) -> ModelFolder | None:
        known = self._models.get(path)
        if listing.away:
            return known.folder if known else None
        if not is_model_name(path.name):
            what = f"{path.name!r} cannot be a model's name"
            cure = "use letters, digits, '_', '-', '.', '+', '@' and spaces"
            faults.add(str(path.parent), what, cure)
            return None
        try:
            seen = stamps(path)
            if known is None or known.stamps != seen:
                digests = known.digests if known else Digests()
                known = _Model(seen, _model_folder(path, seen, digests), digests)
                self._models[path] = known
            return known.folder
        except UnicodeDecodeError:
            where = f"{path.name}/{CONFIG_NAME}"
            broken[path.name] = Fault(where, "is not UTF-8", "save it as UTF-8 text")
        except OSError as error:
            what = f"cannot be read: {error.strerror}"
            broken[path.name] = Fault(path.name, what, "make it readable")
        faults.extend([broken[path.name]])
        return None


@dataclass(frozen=True, slots=True)
class _Listing:
    """A repository's folders that may be models, sorted by name."""

    models: tuple[Path, ...]
    names: tuple[str, ...] = ()
    id: tuple[int, int] = (0, 0)  # device and inode of the repository itself
    away: Fault | None = None


@dataclass(frozen=True, slots=True)
class _Model:
    """What was seen of one model, and what it was then."""

    stamps: tuple[Stamp, ...]
    folder: ModelFolder
    digests: Digests


def _listed(repository: Path, last: _Listing | None, faults: Faults) -> _Listing:
    cure = "give the folder that holds the models' folders"
    try:
        if (repository / CONFIG_NAME).is_file():
            what = "is a model's own folder, not a repository"
            faults.add(str(repository), what, "give the folder it lies in")
            return _Listing(())
        told = repository.stat()
        with os.scandir(repository) as entries:
            folders = (entry for entry in entries if not is_passed_over(entry.name))
            names = tuple(sorted(entry.name for entry in folders if entry.is_dir()))
        if last and last.names == names:  # sorting and hashing a thousand paths takes a while
            models = last.models
        else:
            models = tuple(repository / name for name in names)
        return _Listing(models, names, (told.st_dev, told.st_ino))
    except FileNotFoundError:
        faults.add(str(repository), "there is no such model repository", cure)
    except NotADirectoryError:
        faults.add(str(repository), "a model repository is a folder, this is a file", cure)
    except OSError as error:
        faults.add(str(repository), f"cannot be read: {error.strerror}", "make it readable")
    return _Listing(())


def _model_folder(path: Path, seen: tuple[Stamp, ...], digests: Digests) -> ModelFolder:
    """The folder as its stamps tell it. Raises OSError and UnicodeDecodeError."""
    parts: dict[str, list[Stamp]] = {}  # of each entry of the folder, it and all below it
    for stamp in seen:
        parts.setdefault(stamp.path.partition("/")[0], []).append(stamp)
    folders = [name for name, (first, *_) in parts.items() if first.is_folder]
    versions = tuple(sorted(int(name) for name in folders if is_version_name(name)))
    inside = {version: parts[str(version)][1:] for version in versions}
    shared = [stamp for name, part in parts.items() if _is_shared(name) for stamp in part]
    digests.forget_others(seen)
    return ModelFolder(
        name=path.name,
        path=path,
        config_text=_config_text(path),
        versions=versions,
        filenames={version: _names(inside[version], version) for version in versions},
        notes=tuple(_note(path.name, name) for name in folders if _is_odd(name)),
        shared=digests.of(path, shared),
        prints={version: digests.of(path, inside[version]) for version in versions},
        whole=frozenset(v for v in versions if arrived_whole(path / str(v), inside[v])),
        is_whole=arrived_whole(path, seen),
    )


def _config_text(path: Path) -> str | None:
    try:
        return (path / CONFIG_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _names(inside: Sequence[Stamp], version: int) -> tuple[str, ...]:
    """What lies directly in a version's folder."""
    below = (stamp.path.removeprefix(f"{version}/") for stamp in inside)
    return tuple(sorted(name for name in below if "/" not in name))


def _is_shared(name: str) -> bool:
    """A name that begins with a digit is a version's, or one's that is on its way ("3_new")."""
    return name != CONFIG_NAME and not name[0].isdigit()


def _is_odd(name: str) -> bool:
    return not is_version_name(name) and name not in _OWN_FOLDERS


def _note(model: str, name: str) -> str:
    return f"{model}/{name}: passed over; a version is a number from 1 on, without leading zeros"
