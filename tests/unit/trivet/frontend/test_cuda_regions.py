"""Regions of GPU memory, on a stand-in for the driver that keeps the memory in this process."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import pytest

from trivet.errors import InvalidInput
from trivet.frontend.cuda_regions import CudaRegion
from trivet.frontend.regions import Regions, SystemRegion, place_in

HANDLE = bytes(range(64))
SIZE = 16


class Driver:
    """What is called of CUDA's driver; one allocation of SIZE bytes on device 1."""

    def __init__(self) -> None:
        self.memory = ctypes.create_string_buffer(bytes(SIZE), SIZE)
        self.address = ctypes.addressof(self.memory)
        self.open = self.contexts = 0
        self.current: Any = None

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        self.contexts += 1
        context._obj.value = 7
        return 0 if device.value == 1 else 101

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> int:  # noqa: N802
        self.contexts -= 1
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:  # noqa: N802
        self.current = context.value
        return 0

    def cuIpcOpenMemHandle_v2(self, pointer: Any, handle: Any, flags: Any) -> int:  # noqa: N802
        if bytes(handle) != HANDLE:
            return 400
        self.open += 1
        pointer._obj.value = self.address
        return 0

    def cuIpcCloseMemHandle(self, pointer: Any) -> int:  # noqa: N802
        assert pointer.value == self.address
        self.open -= 1
        return 0

    def cuMemGetAddressRange_v2(self, base: Any, size: Any, pointer: Any) -> int:  # noqa: N802
        base._obj.value, size._obj.value = pointer.value, SIZE
        return 0

    def cuMemcpyDtoH_v2(self, target: Any, place: Any, count: Any) -> int:  # noqa: N802
        assert self.current == 7
        ctypes.memmove(target, place.value, count.value)
        return 0

    def cuMemcpyHtoD_v2(self, place: Any, source: bytes, count: Any) -> int:  # noqa: N802
        assert self.current == 7
        ctypes.memmove(place.value, source, count.value)
        return 0


def test_bytes_go_in_and_come_out_at_their_place() -> None:
    driver = Driver()
    region = CudaRegion("r", HANDLE, 1, SIZE, driver)
    place_in(region, 4, 8).write(b"abcdefgh")
    assert driver.memory.raw == bytes(4) + b"abcdefgh" + bytes(4)
    assert place_in(region, 6, 4).read() == b"cdef"


def test_it_is_closed_with_the_last_who_holds_it() -> None:
    driver = Driver()
    region = CudaRegion("r", HANDLE, 1, SIZE, driver)
    assert (driver.open, driver.contexts) == (1, 1)
    place = place_in(region, 0, 4)
    del region
    gc.collect()
    assert driver.open == 1
    del place
    gc.collect()
    assert (driver.open, driver.contexts) == (0, 0)


@pytest.mark.parametrize(
    ("handle", "size", "told"),
    [
        (b"short", SIZE, "raw_handle has 5 bytes; send the 64"),
        (bytes(64), SIZE, "cuIpcOpenMemHandle_v2 failed with status 400"),
        (HANDLE, SIZE + 1, "byte_size 17 does not lie within the 16 bytes"),
        (HANDLE, 0, "byte_size 0 does not lie within"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_leaves_nothing_open(
    handle: bytes, size: int, told: str
) -> None:
    driver = Driver()
    with pytest.raises(InvalidInput, match=told):
        CudaRegion("r", handle, 1, size, driver)
    gc.collect()
    assert (driver.open, driver.contexts) == (0, 0)


def test_each_kind_is_told_and_forgotten_for_itself() -> None:
    regions = Regions()
    regions.add(CudaRegion("gpu", HANDLE, 1, SIZE, Driver()))
    assert [region.name for region in regions.named(CudaRegion, "")] == ["gpu"]
    assert regions.named(SystemRegion, "") == []
    regions.remove(SystemRegion, "")
    assert regions.get("gpu").name == "gpu"
    regions.remove(CudaRegion, "gpu")
    assert regions.named(CudaRegion, "") == []
