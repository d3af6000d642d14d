"""The shared-memory RPCs of GRPCInferenceService: register, unregister, tell."""

from __future__ import annotations

from trivet.backend.gpus import visible_gpus
from trivet.errors import Unimplemented
from trivet.frontend.cuda_regions import CudaRegion
from trivet.frontend.method import Call, Methods, Unary
from trivet.frontend.parameters import SHARED_MEMORY_OFF
from trivet.frontend.refusal import parse
from trivet.frontend.regions import Regions, SystemRegion
from trivet_protos.generated import grpc_service_pb2 as pb

_SERVICE = "/inference.GRPCInferenceService/"


class SharedMemoryService:
    """Answers the six RPCs.

    Regions of GPU memory are taken where the driver offers the GPU, else refused in plain words.
    """

    def __init__(self, regions: Regions | None) -> None:
        """regions: None where the operator has not switched shared memory on."""
        self._regions = regions

    def methods(self) -> Methods:
        handlers = {
            "SystemSharedMemoryStatus": self.system_status,
            "SystemSharedMemoryRegister": self.system_register,
            "SystemSharedMemoryUnregister": self.system_unregister,
            "CudaSharedMemoryStatus": self.cuda_status,
            "CudaSharedMemoryRegister": self.cuda_register,
            "CudaSharedMemoryUnregister": self.cuda_unregister,
        }
        return {f"{_SERVICE}{name}": Unary(handler) for name, handler in handlers.items()}

    async def system_status(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.SystemSharedMemoryStatusRequest, message)
        answer = pb.SystemSharedMemoryStatusResponse()
        for region in self._on().named(SystemRegion, asked.name):
            told = answer.regions[region.name]
            told.name, told.key = region.name, region.key
            told.offset, told.byte_size = region.offset, region.byte_size
        return answer.SerializeToString()

    async def system_register(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.SystemSharedMemoryRegisterRequest, message)
        regions = self._on()
        regions.check_free(asked.name)
        regions.add(SystemRegion(asked.name, asked.key, asked.offset, asked.byte_size))
        return pb.SystemSharedMemoryRegisterResponse().SerializeToString()

    async def system_unregister(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.SystemSharedMemoryUnregisterRequest, message)
        self._on().remove(SystemRegion, asked.name)
        return pb.SystemSharedMemoryUnregisterResponse().SerializeToString()

    async def cuda_status(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.CudaSharedMemoryStatusRequest, message)
        answer = pb.CudaSharedMemoryStatusResponse()
        for region in self._on().named(CudaRegion, asked.name):
            told = answer.regions[region.name]
            told.name, told.device_id = region.name, region.device
            told.byte_size = region.byte_size
        return answer.SerializeToString()

    async def cuda_register(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.CudaSharedMemoryRegisterRequest, message)
        regions = self._on()
        regions.check_free(asked.name)
        if asked.device_id not in visible_gpus():
            raise Unimplemented(
                f"shared memory region '{asked.name[:80]}' is on GPU {asked.device_id}, which this"
                " server does not see; register system shared memory, or send the tensor in the"
                " request"
            )
        regions.add(CudaRegion(asked.name, asked.raw_handle, asked.device_id, asked.byte_size))
        return pb.CudaSharedMemoryRegisterResponse().SerializeToString()

    async def cuda_unregister(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.CudaSharedMemoryUnregisterRequest, message)
        self._on().remove(CudaRegion, asked.name)
        return pb.CudaSharedMemoryUnregisterResponse().SerializeToString()

    def _on(self) -> Regions:
        if self._regions is None:
            raise Unimplemented(SHARED_MEMORY_OFF)
        return self._regions
