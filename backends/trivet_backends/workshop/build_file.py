"""build.json: what a version was made of, by what, and how well it matched. One in each version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

NAME = "build.json"
_TOOLS = ("trivet", "numpy", "onnx", "onnxruntime", "openvino", "tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFile:
    """kind: encoder, tokenizer, candidates or pipeline.
    source: the name of the checkpoint's folder.
    recipe: all that decides the content: the same recipe again is not built again.
    measured: what the check and the clock said.
    files: the size in bytes of every other file of the version."""

    kind: str
    source: str
    recipe: Mapping[str, Json]
    measured: Mapping[str, Json]
    files: Mapping[str, int]

    def is_whole(self, folder: Path) -> bool:
        """Whether every file is still there in its size."""
        paths = ((folder / name, size) for name, size in self.files.items())
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(self.files.values())


def write_build_file(
    folder: Path,
    kind: str,
    source: str,
    recipe: Mapping[str, Json],
    measured: Mapping[str, Json],
) -> BuildFile:
    """Write the build.json of a version whose other files are all there."""
    build = BuildFile(
        kind=kind,
        source=source,
        recipe=as_read(recipe),
        measured=as_read(measured),
        files={path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    )
    raw = asdict(build) | {"tools": tools(_TOOLS)}
    (folder / NAME).write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
    return build


def read_build_file(folder: Path) -> BuildFile | None:
    """A version's build.json, or None where no build of ours has been."""
    try:
        raw = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return BuildFile(
            kind=str(raw["kind"]),
            source=str(raw["source"]),
            recipe=dict(raw["recipe"]),
            measured=dict(raw["measured"]),
            files={str(name): int(size) for name, size in raw["files"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def as_read(values: Mapping[str, Json]) -> Mapping[str, Json]:
    """The values as they come back from a file: enums as text, tuples as lists."""
    read: dict[str, Json] = json.loads(json.dumps(values))
    return read


def tools(names: Sequence[str]) -> dict[str, str]:
    """The version of every one that is here; extras may not be."""
    found = {}
    for tool in names:
        with suppress(PackageNotFoundError):
            found[tool] = version(tool)
    return found


def digests(files: Iterable[Path]) -> dict[str, Json]:
    """The sha256 of each file, by its name."""
    made: dict[str, Json] = {}
    for path in files:
        with path.open("rb") as file:
            made[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return made
