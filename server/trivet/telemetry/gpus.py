"""Figures of NVIDIA GPUs, where the package nvidia-ml-py is installed and a driver answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFigures:
    """Of one GPU; None for what it does not tell."""

    uuid: str
    utilization: float | None  # 0 to 1, over the driver's own last sample period
    memory_total: int | None  # bytes
    memory_used: int | None
    power: float | None  # watts
    power_limit: float | None
    energy: float | None  # joules since the server started


class Gpus:
    """The GPUs of the machine; none without the package or a driver."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        self._energy_before: list[float] = []
        try:
            import pynvml
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(place) for place in range(count)]
        except pynvml.NVMLError as error:
            log.info("no_gpu_figures", extra={"why": error})
            return
        self._nvml = pynvml
        self._energy_before = [self._energy(handle) or 0.0 for handle in self._handles]

    def figures(self) -> list[GpuFigures]:
        """What is to be told now."""
        pairs = zip(self._handles, self._energy_before, strict=True)
        return [self._of(handle, before) for handle, before in pairs]

    def close(self) -> None:
        """Let go of the driver."""
        if self._nvml is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
            self._nvml, self._handles, self._energy_before = None, [], []

    def _of(self, handle: Any, energy_before: float) -> GpuFigures:
        nvml = self._nvml
        uuid = self._asked(nvml.nvmlDeviceGetUUID, handle)
        rates = self._asked(nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = self._asked(nvml.nvmlDeviceGetMemoryInfo, handle)
        power = self._asked(nvml.nvmlDeviceGetPowerUsage, handle)
        limit = self._asked(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        energy = self._energy(handle)
        return GpuFigures(
            uuid=uuid.decode() if isinstance(uuid, bytes) else str(uuid),
            utilization=None if rates is None else rates.gpu / 100,
            memory_total=None if memory is None else int(memory.total),
            memory_used=None if memory is None else int(memory.used),
            power=None if power is None else power / 1000,
            power_limit=None if limit is None else limit / 1000,
            energy=None if energy is None else energy - energy_before,
        )

    def _energy(self, handle: Any) -> float | None:
        """Joules since the driver was loaded."""
        millijoules = self._asked(self._nvml_of().nvmlDeviceGetTotalEnergyConsumption, handle)
        return None if millijoules is None else millijoules / 1000

    def _asked(self, ask: Callable[[Any], Any], handle: Any) -> Any:
        """None where this GPU cannot say, or says no more."""
        with suppress(self._nvml_of().NVMLError):
            return ask(handle)
        return None

    def _nvml_of(self) -> Any:
        assert self._nvml is not None
        return self._nvml
