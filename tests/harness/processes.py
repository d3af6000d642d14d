"""Processes as the system sees them."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

_ESTABLISHED = "01"  # in /proc/net/tcp


def children_of(pid: int) -> list[int]:
    """The processes that a process started and that are not buried yet, oldest first."""
    told = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for children in told for child in children.read_text().split())


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def kill(pid: int) -> None:
    """Kill a process, and wait until all of its threads are gone: it takes no connection now."""
    process = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        ended, _, _ = select.select([process], [], [], 20)
    finally:
        os.close(process)
    assert ended, f"process {pid} was killed and goes on"


def serves(pid: int) -> int:
    """How many connections a process of this network has, other than the one it listens on."""
    inodes = {
        link.removeprefix("socket:[").removesuffix("]")
        for link in map(_target, Path(f"/proc/{pid}/fd").iterdir())
        if link.startswith("socket:[")
    }
    lines = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")  # grpc's own are of the second kind
        for line in Path(table).read_text().splitlines()[1:]
    ]
    return sum(fields[3] == _ESTABLISHED and fields[9] in inodes for fields in lines)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""
