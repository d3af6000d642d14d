"""What loading a version took of the process's memory: an estimate, as Triton's is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class MemoryLedger:
    """Shares the growth of the process among the loads under way: none is counted twice."""

    claimed_bytes: int = 0

    def begin(self) -> MemoryClaim:
        """Call when a load begins."""
        return MemoryClaim(self, resident_bytes(), self.claimed_bytes)


@dataclass(frozen=True, slots=True)
class MemoryClaim:
    """One load under way."""

    ledger: MemoryLedger
    resident_before: int
    claimed_before: int

    def settle(self) -> int:
        """Bytes by which the process has grown since the load began, less what other loads that
        ended meanwhile were given. 0 where it used memory that was there already.
        """
        others = self.ledger.claimed_bytes - self.claimed_before
        grown = max(0, resident_bytes() - self.resident_before - others)
        self.ledger.claimed_bytes += grown
        return grown


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
