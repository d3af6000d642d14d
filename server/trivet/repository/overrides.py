"""What clients send with a load: a config, and files, kept apart from the repository.

Files go to a private folder of their own, which lives until the model's next load or unload.
Nothing outside of it is ever written, whatever the names say.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trivet.config_file import Faults
from trivet.repository.layout import ModelFolder, Reader, is_version_name

PREFIX = "file:"

_MAX_FILES = 1_000
_MAX_NAME = 255  # bytes; what file systems take
_MAX_PATH = 1_000  # bytes
_SHOWN = 60  # characters of a client's word that a message repeats


@dataclass(frozen=True, slots=True)
class Upload:
    """One file. parts: its path below the model's folder; the first is the version."""

    parts: tuple[str, ...]
    content: bytes


def uploads_of(files: Mapping[str, bytes], model: str) -> tuple[Upload, ...]:
    """What a client sent as `file:<version>/<name>`. Pure.

    files: by the parameter's whole name. Raises InvalidConfig naming every one that cannot be a
    file of a version, and so every one that would lie elsewhere.
    """
    faults = Faults()
    uploads = tuple(
        Upload(tuple(name.removeprefix(PREFIX).split("/")), content)
        for name, content in sorted(files.items())
    )
    for name, upload in zip(sorted(files), uploads, strict=True):
        if what := _wrong(upload.parts):
            shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
            where = f"{model}: parameter {shown!r}"
            faults.add(where, what, f"send {PREFIX}<version>/<name>, e.g. {PREFIX}1/model.onnx")
    if len(uploads) > _MAX_FILES:
        faults.add(model, f"{len(uploads)} files came", f"send at most {_MAX_FILES}")
    _check_clashes(uploads, model, faults)
    faults.raise_if_any()
    return uploads


class Overrides:
    """The private folders of the models that clients sent."""

    def __init__(self) -> None:
        self._folders: dict[str, Path] = {}

    def write(self, model: str, config_text: str, uploads: Iterable[Upload]) -> ModelFolder:
        """Write the files of a model into a new private folder; it replaces none before `keep`.

        Blocks. Raises OSError if the disk does not take them; nothing is left behind then.
        """
        root = Path(tempfile.mkdtemp(prefix="trivet-upload-"))
        try:
            for upload in uploads:
                _write(root / model, upload)
            (folder,) = Reader([root]).read(Faults()).folders
            return replace(folder, config_text=config_text)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise

    def keep(self, model: str, folder: ModelFolder | None) -> Path | None:
        """Take a model's files as those in use, None for the repository's own.

        Returns the folder of those before, which can be discarded.
        """
        before = self._folders.pop(model, None)
        if folder is not None:
            self._folders[model] = folder.path.parent
        return before

    def close(self) -> None:
        """Remove all that was written."""
        for folder in self._folders.values():
            discard(folder)
        self._folders = {}


def discard(folder: Path | None) -> None:
    """Remove a private folder. Blocks."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _wrong(parts: tuple[str, ...]) -> str:
    """Why these parts of a path are no place below a version's folder; "" if they are one."""
    if not is_version_name(parts[0]) or len(parts) < 2:
        return "names no version and file"
    for part in parts[1:]:
        if not part or part.startswith("."):
            return "has an empty part, or one that begins with '.'"
        if "\\" in part or not part.isprintable():
            return "has a backslash, or a character that cannot be seen"
        if len(part.encode("utf-8", "replace")) > _MAX_NAME:
            return f"has a part of more than {_MAX_NAME} bytes"
    if len("/".join(parts).encode("utf-8", "replace")) > _MAX_PATH:
        return f"is longer than {_MAX_PATH} bytes"
    return ""


def _check_clashes(uploads: Iterable[Upload], model: str, faults: Faults) -> None:
    """No file is another's folder."""
    names = {upload.parts for upload in uploads}
    for parts in sorted(names):
        if any(parts[:length] in names for length in range(1, len(parts))):
            where = f"{model}: parameter '{PREFIX}{'/'.join(parts)[:_SHOWN]}'"
            faults.add(where, "lies below another file", "give it another name")


def _write(folder: Path, upload: Upload) -> None:
    path = folder.joinpath(*upload.parts)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Names were checked and the folder is new and ours; still, no link is followed here.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(upload.content)
