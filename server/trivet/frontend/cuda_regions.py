"""Regions of GPU memory that a client on this machine shares: CUDA's inter-process handles.

The driver is called directly (libcuda comes with it), so no package is needed. Values are copied to
and from the host, as for system regions: what was checked must not change while the engine reads.
Written against the driver's documented API; not yet run on a GPU.
"""

from __future__ import annotations

import ctypes
import weakref
from functools import cache
from typing import Any

from trivet.errors import InvalidInput

_HANDLE_BYTES = 64  # CU_IPC_HANDLE_SIZE
_LAZY_PEER_ACCESS = 1  # CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
_SHOWN = 80  # characters of a client's word that a message repeats


class _Handle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * _HANDLE_BYTES),)


@cache
def driver() -> Any:
    """CUDA's driver, started. Raises OSError without one."""
    library = ctypes.CDLL("libcuda.so.1")
    library.cuInit(0)
    return library


class CudaRegion:
    """Memory of another process on one GPU, open until the last request has let go of it."""

    def __init__(
        self, name: str, handle: bytes, device: int, byte_size: int, cuda: Any = None
    ) -> None:
        """cuda: the driver, or a stand-in. Raises InvalidInput for a wrong handle or size."""
        self.name, self.device, self.byte_size = name, device, byte_size
        self._cuda = driver() if cuda is None else cuda
        if len(handle) != _HANDLE_BYTES:
            raise InvalidInput(
                f"{self._shown}: raw_handle has {len(handle)} bytes; send the {_HANDLE_BYTES} of"
                " cudaIpcGetMemHandle"
            )
        self._context = ctypes.c_void_p()
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), ctypes.c_int(device))
        self._pointer = ctypes.c_uint64()  # 0 until the memory is open
        weakref.finalize(self, _close, self._cuda, self._context, self._pointer, device)
        opened = _Handle.from_buffer_copy(handle)
        flags = ctypes.c_uint(_LAZY_PEER_ACCESS)
        self._on_device("cuIpcOpenMemHandle_v2", ctypes.byref(self._pointer), opened, flags)
        size = self._allocated()
        if not 0 < byte_size <= size:
            raise InvalidInput(
                f"{self._shown}: byte_size {byte_size} does not lie within the {size} bytes that"
                " were shared; register as many or fewer, at least one"
            )

    def read(self, offset: int, byte_size: int) -> bytes:
        """Copy bytes out. Raises InvalidInput if the driver cannot."""
        content = ctypes.create_string_buffer(byte_size)
        place = ctypes.c_uint64(self._pointer.value + offset)
        self._on_device("cuMemcpyDtoH_v2", content, place, ctypes.c_size_t(byte_size))
        return content.raw

    def write(self, offset: int, content: bytes) -> None:
        """Copy bytes in. Raises InvalidInput if the driver cannot."""
        place = ctypes.c_uint64(self._pointer.value + offset)
        self._on_device("cuMemcpyHtoD_v2", place, content, ctypes.c_size_t(len(content)))

    @property
    def _shown(self) -> str:
        return f"shared memory region '{self.name[:_SHOWN]}' on GPU {self.device}"

    def _allocated(self) -> int:
        base, size = ctypes.c_uint64(), ctypes.c_size_t()
        found = (ctypes.byref(base), ctypes.byref(size), self._pointer)
        self._on_device("cuMemGetAddressRange_v2", *found)
        return size.value

    def _on_device(self, function: str, *arguments: Any) -> None:
        """Call with the device's context as the thread's, which it is for each thread apart."""
        self._do("cuCtxSetCurrent", self._context)
        self._do(function, *arguments)

    def _do(self, function: str, *arguments: Any) -> None:
        if status := getattr(self._cuda, function)(*arguments):
            raise InvalidInput(
                f"{self._shown} cannot be used: {function} failed with status {status}; register"
                " memory of a process that still runs, or send the tensor in the request"
            )


def _close(cuda: Any, context: ctypes.c_void_p, pointer: ctypes.c_uint64, device: int) -> None:
    cuda.cuCtxSetCurrent(context)
    if pointer.value:
        cuda.cuIpcCloseMemHandle(pointer)
    cuda.cuDevicePrimaryCtxRelease_v2(ctypes.c_int(device))
