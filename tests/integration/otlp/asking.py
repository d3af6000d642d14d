"""What tests ask a server with a collector, and how they read what came there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.harness.collector import Collector, Span
from tests.harness.in_process import Here
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

UNARY = "inference.GRPCInferenceService/ModelInfer"
STREAM = "inference.GRPCInferenceService/ModelStreamInfer"
EVERY, NONE = "--trace-config=rate=1", "--trace-config=rate=0"
POISON = 666.0  # the value that "picky" fails on


def to(collector: Collector) -> tuple[str, str]:
    """Flags that name a collector."""
    return f"--otlp-endpoint={collector.endpoint}", f"--otlp-protocol={collector.protocol}"


def request_of(model: str, *values: float, request_id: str = "") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    request.inputs.add(name="IN", datatype="FP32", shape=[1, len(values)])
    request.raw_input_contents.append(np.array(values, np.float32).tobytes())
    return request


async def infer(
    here: Here, model: str, *values: float, request_id: str = "", **headers: str
) -> dict[str, str]:
    """Ask a model; the trailers of its answer. Raises grpc.aio.AioRpcError."""
    request = request_of(model, *(values or (1.0,)), request_id=request_id)
    stub = GRPCInferenceServiceAsyncStub(here.channel)
    call = stub.ModelInfer(request, metadata=tuple(headers.items()))
    await call
    return {str(key): str(value) for key, value in await call.trailing_metadata() or ()}


def tree(spans: Sequence[Span]) -> dict[str, list[str]]:
    """The names of each span's children, by its name, in the order of their starts."""
    found: dict[str, list[str]] = {}
    for span in spans:
        below = [other for other in spans if other.parent_id == span.span_id]
        found[span.name] = [other.name for other in sorted(below, key=lambda each: each.times)]
    return found


def named(spans: Sequence[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def one(spans: Sequence[Span], name: str) -> Span:
    (found,) = named(spans, name)
    return found
