"""A private server on a scratch copy of the repository, asked under one config after another."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import EngineFailed
from trivet_backends.workshop.tune.subject import CONFIG, Subject

_READY = re.compile(r"serving on (\S+:\d+)")
_STOP_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialServer:
    """A running server."""

    address: str
    pid: int


def copied(subject: Subject, into: Path) -> Path:
    """The models that are needed, in `into`: large files are linked, configs are copies."""
    for name in subject.needed:
        shutil.copytree(subject.repository / name, into / name, copy_function=_linked)
    return into


@contextmanager
def serving(repository: Path, subject: Subject, config: str, log: Path) -> Iterator[TrialServer]:
    """Serve the copy with this text as the tuned model's config, until the block ends.

    Raises EngineFailed, with the server's own words, if the model does not load.
    """
    (repository / subject.tuned / CONFIG).write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "trivet", "serve", "--model-repository", str(repository)]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*command, "--grpc-port", "0", "--grpc-address", "127.0.0.1", "--allow-metrics=false"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield TrialServer(address=_address(process, log), pid=process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    for line in process.stdout or ():
        if found := _READY.search(line):
            return found[1]
    process.wait()
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise EngineFailed(lines[-1][:200] if lines else "the server ended before it was ready")


def _linked(source: str, target: str) -> None:
    """A hard link where that can be (it takes no room), else a copy; small files are copied."""
    if Path(source).stat().st_size > 1 << 20:
        try:
            os.link(source, target)
        except OSError:
            pass  # another file system
        else:
            return
    shutil.copyfile(source, target)
