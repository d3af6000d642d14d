"""`trivet` as a shell runs it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Its error lines, without the mark in front of them."""
        mark = "trivet: error: "
        return [line.removeprefix(mark) for line in self.err.splitlines() if line.startswith(mark)]


def trivet(*arguments: str | Path, stdin: str = "", cwd: Path | None = None) -> Ended:
    """Run a command to its end; fails if that takes more than a minute.

    A server has no metrics unless a flag speaks of them: their port is fixed, and tests are many.
    """
    if arguments[:1] == ("serve",) and not any("metrics" in str(each) for each in arguments):
        arguments = (*arguments, "--allow-metrics=false")
    ended = subprocess.run(
        [sys.executable, "-m", "trivet", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
