"""Write `trivet_client/sync_calls`, the calls of `Client`, from `trivet_client/aio_calls`.

    python clients/write_sync.py          write the modules
    python clients/write_sync.py --check  write nothing; exit 1 and name every file that differs

Each call is written once, in `aio_calls`. RULES say what is different in `sync_calls`, and ruff
formats the result. The package `unasync` replaces single words only, which is too little for types
such as `Iterable[str] | AsyncIterable[str]`, and has no --check.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CLIENT = Path(__file__).resolve().parent / "trivet_client"
SOURCES = CLIENT / "aio_calls"
WRITTEN = CLIENT / "sync_calls"

HEADER = "# Written by clients/write_sync.py from aio_calls/{name}. Do not edit.\n"
# Told, because ruff looks for files, and those of `sync_calls` need not be there yet.
OURS = "--config=lint.isort.known-first-party = ['trivet_client', 'trivet_protos']"
INIT = '''# Written by clients/write_sync.py. Do not edit.
"""The calls of `Client`, by subject."""
'''

# In this order, each wherever it fits. mypy, and the tests, which ask both clients, see what is
# forgotten here.
RULES = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"\b(async|await) ", ""),
        (r"\b__a(enter|exit)__\b", r"__\1__"),
        # Without an event loop an iterable is what blocks.
        (r" \| AsyncIterable\[.+\](?=,$)", ""),
        (r"\bAsyncIterable, ", ""),
        (r"\bAsyncGenerator\[(.+), None\]", r"Generator[\1, None, None]"),
        # AsyncClient, AsyncGenerator, TextServiceAsyncStub.
        (r"Async(?=[A-Z])", ""),
        (r"\baio_(?=calls|streams)", "sync_"),
        (r"^import (asyncio|grpc\.aio)\n", ""),
        (r"\bgrpc\.aio\.", "grpc."),
        (r"\basyncio\.sleep\b", "time.sleep"),
        (r"\bon an event loop\b", "without an event loop"),
    )
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write trivet_client/sync_calls from aio_calls.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 and name each file that differs"
    )
    check = parser.parse_args().check
    sources = sorted(SOURCES.glob("[!_]*.py"))
    fresh = {"__init__.py": INIT} | {path.name: without_event_loop(path) for path in sources}
    if not check:
        write(fresh)
        return 0
    faults = list(differences(fresh))
    for fault in faults:
        print(f"{fault}; run python clients/write_sync.py", file=sys.stderr)
    return 1 if faults else 0


def without_event_loop(source: Path) -> str:
    """The text of a module of `aio_calls` for callers without an event loop."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return HEADER.format(name=source.name) + formatted(text, WRITTEN / source.name)


def formatted(text: str, path: Path) -> str:
    """The text in the house style: imports in order, no line broken that fits now."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--select=I", OURS, "--fix", "--quiet"], ["format"]):
        text = subprocess.run(
            [*ruff, *command, f"--stdin-filename={path}", "-"],
            input=text,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        ).stdout
    return text


def differences(fresh: Mapping[str, str]) -> Iterator[str]:
    """Name every module that is missing, stale or made from none."""
    present = {path.name: path.read_text(encoding="utf-8") for path in WRITTEN.glob("*.py")}
    for name in sorted(fresh.keys() | present):
        if fresh.get(name) != present.get(name):
            yield f"sync_calls/{name} is not what aio_calls/{name} makes"


def write(fresh: Mapping[str, str]) -> None:
    """Make `sync_calls` hold exactly the fresh modules."""
    WRITTEN.mkdir(exist_ok=True)
    for path in WRITTEN.glob("*.py"):
        if path.name not in fresh:
            path.unlink()
    for name, text in fresh.items():
        (WRITTEN / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
