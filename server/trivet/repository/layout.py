"""What lies in a model repository: `<repository>/<model>/{config.pbtxt, <version>/...}`.

Only looked at, never judged: whether a model can be served is for others to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trivet.config_file import Faults

CONFIG_NAME = "config.pbtxt"

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@ -]*")
_VERSION_NAME = re.compile(r"[1-9][0-9]{0,17}")  # fits int64, as the protocol carries it


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """One model's folder.

    config_text: of config.pbtxt; None where there is none. versions: ascending. filenames: what
    each version's folder holds, sorted. notes: entries that were passed over, and why.
    """

    name: str
    path: Path
    config_text: str | None = None
    versions: tuple[int, ...] = ()
    filenames: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def config_name(self) -> str:
        """How messages name the config file."""
        return f"{self.name}/{CONFIG_NAME}"

    def version_path(self, version: int) -> Path:
        return self.path / str(version)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The models of all repositories at one moment, sorted by name."""

    folders: tuple[ModelFolder, ...] = ()

    def folder(self, name: str) -> ModelFolder | None:
        return next((folder for folder in self.folders if folder.name == name), None)


def read_repositories(repositories: Sequence[Path], faults: Faults) -> Snapshot:
    """Look at every model of the repositories; hidden entries and plain files are passed over.

    What cannot be read is added to `faults` and left out: a model with a name that cannot be
    served, an unreadable one, and the second of two models with one name.
    Raises InvalidConfig naming every repository that does not exist or cannot be read.
    """
    unreadable = Faults()
    paths = [path for repository in repositories for path in _model_paths(repository, unreadable)]
    unreadable.raise_if_any()
    found: dict[str, ModelFolder] = {}
    for path in paths:
        first = found.get(path.name)
        if first is not None:
            what = f"there is a model of this name in {first.path.parent}, too"
            faults.add(f"{path.parent}: {path.name}", what, "rename or remove one of them")
        elif folder := _model_folder(path, faults):
            found[path.name] = folder
    return Snapshot(tuple(folder for _, folder in sorted(found.items())))


def _model_paths(repository: Path, faults: Faults) -> list[Path]:
    """The folders of one repository that may be models, sorted by name."""
    cure = "give the folder that holds the models' folders"
    try:
        if (repository / CONFIG_NAME).is_file():
            what = "is a model's own folder, not a repository"
            faults.add(str(repository), what, "give the folder it lies in")
            return []
        return sorted(path for path in _visible(repository) if path.is_dir())
    except FileNotFoundError:
        faults.add(str(repository), "there is no such model repository", cure)
    except NotADirectoryError:
        faults.add(str(repository), "a model repository is a folder, this is a file", cure)
    except OSError as error:
        faults.add(str(repository), f"cannot be read: {error.strerror}", "make it readable")
    return []


def _model_folder(path: Path, faults: Faults) -> ModelFolder | None:
    if not _MODEL_NAME.fullmatch(path.name):
        what = f"{path.name!r} cannot be a model's name"
        cure = "use letters, digits, '_', '-', '.', '+', '@' and spaces"
        faults.add(str(path.parent), what, cure)
        return None
    try:
        versions, notes = _versions(path)
        return ModelFolder(
            name=path.name,
            path=path,
            config_text=_config_text(path),
            versions=versions,
            filenames={
                version: tuple(sorted(entry.name for entry in _visible(path / str(version))))
                for version in versions
            },
            notes=notes,
        )
    except UnicodeDecodeError:
        faults.add(f"{path.name}/{CONFIG_NAME}", "is not UTF-8", "save it as UTF-8 text")
    except OSError as error:
        faults.add(path.name, f"cannot be read: {error.strerror}", "make it readable")
    return None


def _config_text(path: Path) -> str | None:
    try:
        return (path / CONFIG_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _versions(path: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The numbered folders, ascending, and a note for each folder that is none."""
    names = sorted(entry.name for entry in _visible(path) if entry.is_dir())
    versions = sorted(int(name) for name in names if _VERSION_NAME.fullmatch(name))
    notes = tuple(
        f"{path.name}/{name}: passed over; a version is a number from 1 on, without leading zeros"
        for name in names
        if not _VERSION_NAME.fullmatch(name)
    )
    return tuple(versions), notes


def _visible(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if not entry.name.startswith(".")]
