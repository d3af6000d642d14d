"""`trivet serve` as a process of its own, on a port the system chose."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.transports import chosen, chosen_processes

METRICS = re.compile(r"metrics on (http://\S+)")
READY = re.compile(r"serving on (unix:\S+|\S+:\d+)")
STOP_SECONDS = 30


@dataclass(frozen=True)
class ServerProcess:
    """A running server."""

    address: str
    process: subprocess.Popen[str]
    metrics: str | None = None  # the page's address

    @property
    def rss_mb(self) -> float:
        """Resident memory now, in MB (2**20 bytes)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, status
        return int(found[1]) / 1024

    @property
    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def serving(
    repository: Path, *flags: str, log: Path | None = None, module: str = "trivet"
) -> Iterator[ServerProcess]:
    """Serve until the block ends; the process is gone afterwards, whatever happened.

    log: where the server's stderr goes; None leaves it with the caller's. Metrics are off unless a
    flag speaks of them: their port is fixed, and tests are many. module: what python runs.
    """
    command = [sys.executable, "-m", module, "serve", "--model-repository", str(repository)]
    stderr = log.open("w") if log else None
    if not any("metrics" in flag for flag in flags):
        flags = (*flags, "--allow-metrics=false")
    if chosen_processes() > 1:
        flags = (*flags, "--frontend-processes", str(chosen_processes()))
    process = subprocess.Popen(
        [*command, "--grpc-port", "0", "--transport", chosen(), *flags],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        metrics, address = _addresses(process)
        yield ServerProcess(address, process, metrics)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout
        process.stdout.close()
        if stderr:
            stderr.close()


def _addresses(process: subprocess.Popen[str]) -> tuple[str | None, str]:
    assert process.stdout
    metrics = None
    for line in process.stdout:
        if found := METRICS.search(line):
            metrics = found[1]
        if found := READY.search(line):
            return metrics, found[1]
    raise RuntimeError(f"the server ended with status {process.wait()} before it was ready")
