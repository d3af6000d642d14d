"""The yardstick of front ends: grpc.aio with generated code, and an echo behind it.

python -m tests.bench.bare_servicer
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import grpc_service_pb2_grpc as services


def echoed(asked: pb.ModelInferRequest) -> pb.ModelInferResponse:
    """The first input as OUT."""
    answer = pb.ModelInferResponse(model_name=asked.model_name, model_version="1", id=asked.id)
    tensor = asked.inputs[0]
    answer.outputs.add(name="OUT", datatype=tensor.datatype, shape=tensor.shape)
    answer.raw_output_contents.append(asked.raw_input_contents[0])
    return answer


class Servicer(services.GRPCInferenceServiceServicer):
    """Two methods, and nothing else that a server does."""

    async def ModelInfer(self, request: Any, context: Any) -> pb.ModelInferResponse:  # noqa: N802
        return echoed(request)

    async def ModelStreamInfer(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        async for request in request_iterator:
            yield pb.ModelStreamInferResponse(infer_response=echoed(request))


async def main() -> None:
    server = grpc.aio.server()
    services.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
