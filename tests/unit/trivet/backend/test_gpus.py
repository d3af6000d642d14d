"""Which GPUs there are, as the driver says."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from trivet.backend.gpus import devices, visible_gpus


class Driver:
    """libcuda: a status from each function, and a count."""

    def __init__(self, count: int, init: int = 0, ask: int = 0) -> None:
        self._count, self._init, self._ask = count, init, ask

    def cuInit(self, flags: int) -> int:  # noqa: N802  as in CUDA
        return self._init

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._count
        return self._ask


@pytest.fixture(autouse=True)
def ask_again() -> Iterator[None]:
    visible_gpus.cache_clear()
    yield
    visible_gpus.cache_clear()


@pytest.mark.parametrize(
    ("driver", "gpus"),
    [
        (Driver(2), (0, 1)),
        (Driver(0), ()),
        (Driver(2, init=100), ()),
        (Driver(2, ask=3), ()),
        (None, ()),
    ],
)
def test_gpus_are_those_of_a_driver_that_works(
    driver: Driver | None, gpus: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Driver:
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError("cannot open shared object file")
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert visible_gpus() == gpus
    assert devices() == (gpus or (0,))
