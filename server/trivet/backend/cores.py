"""How batches that run at the same time share the cores: parallelism follows load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
