"""The shared-memory RPCs of GRPCInferenceService: register, unregister, tell."""

from __future__ import annotations

from trivet.errors import Unimplemented
from trivet.frontend.method import Call, Methods, Unary
from trivet.frontend.parameters import SHARED_MEMORY_OFF
from trivet.frontend.refusal import parse
from trivet.frontend.regions import Regions, SystemRegion, unknown_region
from trivet_protos.generated import grpc_service_pb2 as pb

_SERVICE = "/inference.GRPCInferenceService/"


class SharedMemoryService:
    """Answers the six RPCs.

    Regions of GPU memory are refused in words of their own: no engine of this server takes its
    inputs from there.
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
        for region in self._on().named(asked.name):
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
        self._on().remove(asked.name)
        return pb.SystemSharedMemoryUnregisterResponse().SerializeToString()

    async def cuda_status(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.CudaSharedMemoryStatusRequest, message)
        self._on()
        if asked.name:
            raise unknown_region(asked.name)
        return pb.CudaSharedMemoryStatusResponse().SerializeToString()

    async def cuda_register(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.CudaSharedMemoryRegisterRequest, message)
        self._on().check_free(asked.name)
        raise Unimplemented(
            f"shared memory region '{asked.name[:80]}' is on GPU {asked.device_id}, and this server"
            " computes on no GPU; register system shared memory, or send the tensor in the request"
        )

    async def cuda_unregister(self, message: bytes, call: Call) -> bytes:
        parse(pb.CudaSharedMemoryUnregisterRequest, message)
        self._on()
        return pb.CudaSharedMemoryUnregisterResponse().SerializeToString()

    def _on(self) -> Regions:
        if self._regions is None:
            raise Unimplemented(SHARED_MEMORY_OFF)
        return self._regions
