"""`trivet build` and `trivet serve` as processes of their own, never left behind."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO

READY_S = 60.0  # a server that is not ready by then never will be
STOP_S = 45.0  # its own drain takes at most 30 s
_TAIL = 12  # lines of a failed process that are shown
_READY = re.compile(r"serving on (\S+:\d+)")


class StepFailed(Exception):
    """A process of the demo failed. `tail`: its last lines; `cure`: what to do."""

    def __init__(self, what: str, tail: Sequence[str], cure: str) -> None:
        super().__init__(what)
        self.what = what
        self.tail = tuple(tail)
        self.cure = cure


class Server:
    """A running `trivet serve`."""

    def __init__(self, process: subprocess.Popen[str], address: str, log: IO[str]) -> None:
        self.address = address
        self._process = process
        self._log = log

    def stop(self) -> float:
        """Ask it to end (SIGTERM) and wait; returns the seconds it took.

        Raises StepFailed unless it ends by itself with status 0.
        """
        started_s = time.perf_counter()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise StepFailed(
                f"the server did not stop within {STOP_S:g} s",
                _last_lines(self._log),
                "it was killed; please report this with the lines above",
            ) from None
        if status != 0:
            raise StepFailed(
                f"the server ended with status {status}",
                _last_lines(self._log),
                "please report this with the lines above",
            )
        return time.perf_counter() - started_s


def build(arguments: Sequence[str], say: Callable[[str], None]) -> bool:
    """Run `trivet build`; `say` gets each line as it comes. Returns whether anything was built.

    Raises StepFailed with its last lines.
    """
    lines: list[str] = []
    with _process(["build", *arguments], stderr=subprocess.STDOUT) as process:
        for line in _stdout(process):
            lines.append(line.rstrip())
            say(lines[-1])
        status = process.wait()
    if status != 0:
        raise StepFailed(
            f"trivet build {arguments[0]} ended with status {status}",
            lines[-_TAIL:],
            "mend what it names, or give another checkpoint folder",
        )
    return any("published" in line for line in lines)


@contextmanager
def serving(repository: str) -> Iterator[Server]:
    """Serve a repository on a free port of this machine until the block ends."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        arguments = ["serve", "--model-repository", repository, "--grpc-port", "0"]
        arguments += ["--metrics-port", "0"]  # free as well, should another server run already
        # Its own session: Ctrl-C in the terminal reaches the demo, which then stops the server in
        # order, instead of both at once.
        with _process(arguments, stderr=log, start_new_session=True) as process:
            yield Server(process, _address(process, log), log)


@contextmanager
def signals_end_the_block() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block like an exception, so that its processes are cleaned up."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _process(
    arguments: Sequence[str], *, stderr: int | IO[str], start_new_session: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A command of trivet, which does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trivet", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        start_new_session=start_new_session,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _stdout(process).close()


def _address(process: subprocess.Popen[str], log: IO[str]) -> str:
    """Wait for the line that says where the server listens; keep reading behind it."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in _stdout(process):
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, name="serve-stdout", daemon=True).start()
    end_s = time.monotonic() + READY_S
    while (left_s := end_s - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=left_s)
        except queue.Empty:
            break
        if line is None:
            raise StepFailed(
                f"trivet serve ended with status {process.wait()} before it was ready",
                _last_lines(log),
                "`trivet check --help` shows how to find what is wrong with a repository",
            )
        if found := _READY.search(line):
            return found[1]
    raise StepFailed(
        f"trivet serve was not ready within {READY_S:g} s",
        _last_lines(log),
        "try again when the machine is less busy",
    )


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None  # a pipe was asked for
    return process.stdout


def _last_lines(log: IO[str]) -> list[str]:
    log.seek(0)
    return [line.rstrip() for line in log][-_TAIL:]
