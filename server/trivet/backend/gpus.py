"""Which GPUs this process sees, by the numbers that CUDA gives them."""

from __future__ import annotations

import ctypes
from functools import cache

_LIBRARY = "libcuda.so.1"  # comes with the driver
_SUCCESS = 0


@cache
def visible_gpus() -> tuple[int, ...]:
    """The numbers of the GPUs that the driver offers; empty without a driver or a GPU.

    CUDA_VISIBLE_DEVICES counts, as in everything that uses CUDA. Asked for once: the driver is
    started by it, and an answer does not change while a process runs.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) != _SUCCESS or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return ()
    return tuple(range(count.value))


def devices() -> tuple[int, ...]:
    """The devices whose resources can be counted: every GPU; the CPU counts as device 0."""
    return visible_gpus() or (0,)
