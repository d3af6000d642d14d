"""How batches that run at the same time share the cores: parallelism follows load."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # of this process, as a container sees it


def granted_cores(cgroup: Path = CGROUP) -> int:
    """Whole cores that this process may use: those it may run on, and what its limit pays for.

    A container's limit is time, not cores: who runs a thread on each of 64 with a limit of 2 stands
    still for most of each period.
    """
    return max(1, min([len(os.sched_getaffinity(0)), *_limits(cgroup)]))


def _limits(cgroup: Path) -> Iterator[int]:
    """Microseconds of CPU time per period, as both versions of cgroups tell them, in cores."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((cgroup / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue  # another version's, or none
        if quota.isdecimal():  # without a limit it is "max" or -1
            yield int(quota) // int(period)


def fair_share(cores: int, running: int) -> int:
    """Threads for each of so many batches: all cores for a lone one, and at least one."""
    return max(1, cores // max(1, running))


class Cores:
    """The cores that the engines of one process share; may be used from any thread."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._running = 0
        self._lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator[int]:
        """How many threads the caller's batch may use; it counts as running while the block does.

        Decided once, at its start: batches that run beside it when others leave are not widened.
        """
        with self._lock:
            self._running += 1
            running = self._running
        try:
            yield fair_share(self.count, running)
        finally:
            with self._lock:
                self._running -= 1
