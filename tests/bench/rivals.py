"""The same server under other batch policies, as repositories that share the artifacts' files."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rival:
    """A variant of the encoder's config.pbtxt."""

    name: str
    edit: tuple[tuple[str, str], ...]  # patterns and what replaces them, over the whole file


LENGTH_AWARE = Rival("length-aware (as built)", ())

FIFO_8 = Rival(
    "first in, first out, batches of 8",
    (
        (r"max_batch_size: \d+", "max_batch_size: 8"),
        (
            r'parameters \{\s*key: "max_batch_tokens".*?\}\s*\}',
            'parameters { key: "batch_order" value { string_value: "arrival" } }',
        ),
        (r'parameters \{\s*key: "max_padding_percent".*?\}\s*\}', ""),
    ),
)

ONE_BY_ONE = Rival(
    "no batching, one single-thread worker per core",
    (
        (r"dynamic_batching \{.*?\}", ""),
        (r'parameters \{\s*key: "max_batch_tokens".*?\}\s*\}', ""),
        (r'parameters \{\s*key: "max_padding_percent".*?\}\s*\}', ""),
        (
            r"instance_group \[.*?\]",
            f"instance_group [ {{ count: {len(os.sched_getaffinity(0))} kind: KIND_CPU }} ]",
        ),
    ),
)


def repository_of(rival: Rival, examples: Path, encoder: str, into: Path) -> Path:
    """Copy the example repository with the rival's config; artifacts are hard links if possible."""
    shutil.copytree(examples, into, copy_function=_link)
    path = into / encoder / "config.pbtxt"
    text = path.read_text()
    for pattern, replacement in rival.edit:
        text, found = re.subn(pattern, replacement, text, flags=re.DOTALL)
        if not found:
            raise RuntimeError(f"{rival.name}: nothing in {encoder}/config.pbtxt matches {pattern}")
    path.unlink()
    path.write_text(text)
    return into


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
