"""GPUs as the package nvidia-ml-py tells them; a small one of our own stands in for the package."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from trivet.telemetry.gpus import GpuFigures, Gpus


class NVMLError(Exception):
    """What the package raises."""


class Nvml(ModuleType):
    """Two GPUs, the second of which tells no power."""

    NVMLError = NVMLError

    def __init__(self, *, driver: bool = True) -> None:
        super().__init__("pynvml")
        self.driver, self.millijoules, self.open = driver, 5_000, 0

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.driver:
            raise NVMLError("driver not loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, place: int) -> int:  # noqa: N802
        return place

    def nvmlDeviceGetUUID(self, handle: int) -> str | bytes:  # noqa: N802
        return f"GPU-{handle}" if handle else b"GPU-0"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> object:  # noqa: N802
        return SimpleNamespace(gpu=75, memory=10)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> object:  # noqa: N802
        return SimpleNamespace(total=80, used=20, free=60)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return self._power(handle, 250_000)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        return self._power(handle, 700_000)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        return self._power(handle, self.millijoules)

    def _power(self, handle: int, value: int) -> int:
        if handle:
            raise NVMLError("not supported")
        return value


def test_each_gpu_tells_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpus = Gpus()
    nvml.millijoules = 8_000
    common = {"utilization": 0.75, "memory_total": 80, "memory_used": 20}
    assert gpus.figures() == [
        GpuFigures(uuid="GPU-0", **common, power=250, power_limit=700, energy=3),
        GpuFigures(uuid="GPU-1", **common, power=None, power_limit=None, energy=None),
    ]
    gpus.close()
    gpus.close()
    assert nvml.open == 0
    assert gpus.figures() == []


def test_without_a_driver_or_the_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(driver=False))
    assert Gpus().figures() == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus().figures() == []
