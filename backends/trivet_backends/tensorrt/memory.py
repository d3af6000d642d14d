"""Memory of one instance: pinned on the host and on the device, kept and grown as needed.

The host's side is pinned, so that copies run beside the computation, in the instance's own stream.
"""

from __future__ import annotations

import ctypes

import numpy as np

from trivet_backends.tensorrt.api import Api

_GROWTH = 1.25  # of what is asked for, so that lengths that creep up do not allocate each time


class Buffer:
    """A piece of pinned host memory and one on the device, of equal size."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._host = 0
        self.device = 0  # address; 0 before anything was asked for
        self.nbytes = 0

    def reserve(self, nbytes: int) -> None:
        """Make room. What was in it is lost if it grows; nothing may be under way then."""
        if self.device and nbytes <= self.nbytes:
            return
        self.free()
        size = max(int(nbytes * _GROWTH), 1)  # an empty tensor has an address, too
        self._host = int(self._api.called(self._api.cudart.cudaMallocHost(size)))
        self.device = int(self._api.called(self._api.cudart.cudaMalloc(size)))
        self.nbytes = size

    def array(self, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """The host's side as an array; it holds until the next `reserve`."""
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_byte * size).from_address(self._host)
        return np.ndarray(shape, dtype, buffer=memoryview(memory))

    def send(self, array: np.ndarray, stream: int) -> None:
        """Copy an array to the device, in the stream's time."""
        self.reserve(array.nbytes)
        np.copyto(self.array(array.dtype, array.shape), array)
        kind = self._api.cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(self.device, self._host, array.nbytes, kind, stream)

    def fetch(self, nbytes: int, stream: int) -> None:
        """Copy what the device has into `array`, in the stream's time."""
        kind = self._api.cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(self._host, self.device, nbytes, kind, stream)

    def free(self) -> None:
        """Give it back; again does nothing."""
        host, device, self._host, self.device, self.nbytes = self._host, self.device, 0, 0, 0
        if host:
            self._api.called(self._api.cudart.cudaFreeHost(host))
        if device:
            self._api.called(self._api.cudart.cudaFree(device))

    def _copy(self, to: int, source: int, nbytes: int, kind: object, stream: int) -> None:
        if nbytes:
            self._api.called(self._api.cudart.cudaMemcpyAsync(to, source, nbytes, kind, stream))
