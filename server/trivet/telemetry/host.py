"""Figures of the machine: its CPUs and memory, as Triton tells them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class HostFigures:
    """utilization: 0 to 1, of all cores since the figures before; memory in bytes."""

    cpu_utilization: float
    memory_total: int
    memory_used: int


class Host:
    """Reads /proc; other systems have no figures."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._busy, self._all = self._ticks()

    def figures(self) -> HostFigures | None:
        """What is to be told now; None where there is no /proc."""
        memory = self._memory()
        if memory is None:
            return None
        busy, everything = self._ticks()
        passed = everything - self._all
        utilization = (busy - self._busy) / passed if passed > 0 else 0.0
        self._busy, self._all = busy, everything
        return HostFigures(utilization, *memory)

    def _ticks(self) -> tuple[int, int]:
        """Of all cores since the start: at work, and in all."""
        try:
            line = (self._proc / "stat").read_text().split("\n", 1)[0]
        except OSError:
            return 0, 0
        # user nice system idle iowait irq softirq steal; guests are part of user and nice
        ticks = [int(field) for field in line.split()[1:9]]
        return sum(ticks) - sum(ticks[3:5]), sum(ticks)

    def _memory(self) -> tuple[int, int] | None:
        """Bytes in all, and those that nobody could have."""
        try:
            lines = (self._proc / "meminfo").read_text().splitlines()
        except OSError:
            return None
        kib = {name: int(rest.split()[0]) for name, _, rest in (li.partition(":") for li in lines)}
        total, available = kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
        return total, total - available
