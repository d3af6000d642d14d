"""Spans of real requests, as a collector gets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.harness.collector import Collector, Span, collecting
from tests.harness.in_process import Here, serving_here
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

EVERY = "--trace-config=rate=1"
NONE = "--trace-config=rate=0"
UNARY = "inference.GRPCInferenceService/ModelInfer"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def to(collector: Collector) -> tuple[str, str]:
    return f"--otlp-endpoint={collector.endpoint}", f"--otlp-protocol={collector.protocol}"


def asked(model: str, *values: float, request_id: str = "") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    request.inputs.add(name="IN", datatype="FP32", shape=[1, len(values)])
    request.raw_input_contents.append(np.array(values, np.float32).tobytes())
    return request


async def infer(
    here: Here, model: str, *values: float, request_id: str = "", **headers: str
) -> dict[str, str]:
    """Ask a model; the trailers of its answer."""
    stub = GRPCInferenceServiceAsyncStub(here.channel)
    call = stub.ModelInfer(
        asked(model, *values or (1.0,), request_id=request_id), metadata=tuple(headers.items())
    )
    await call
    return dict(await call.trailing_metadata() or ())


def tree(spans: list[Span]) -> dict[str, list[str]]:
    """The names of each span's children, by its name, in the order of their starts."""
    found: dict[str, list[str]] = {}
    for span in sorted(spans, key=lambda span: span.times):
        below = [one for one in spans if one.parent_id == span.span_id]
        found[span.name] = [one.name for one in sorted(below, key=lambda one: one.times)]
    return found


def one(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_request_is_a_tree_of_its_stages(repository: Path, protocol: str) -> None:
    with collecting(protocol) as collector:
        async with serving_here(repository, *to(collector), EVERY) as here:
            await infer(here, "echo", 1.0, 2.0, request_id="r-7")
        spans = collector.spans
        told = tree([span for span in spans if span.name != "batch echo"])
        assert told == {
            UNARY: ["infer echo"],
            "infer echo": ["queue", "batch"],
            "queue": [],
            "batch": ["compute"],
            "compute": [],
        }
        root, infer_span = one(spans, UNARY), one(spans, "infer echo")
        assert root.message.kind == root.message.SPAN_KIND_SERVER
        assert root.parent_id == ""
        assert root.attributes == {
            "rpc.system": "grpc",
            "rpc.service": "inference.GRPCInferenceService",
            "rpc.method": "ModelInfer",
            "rpc.grpc.status_code": 0,
            "trivet.kept_for": "rate",
        }
        assert infer_span.attributes == {
            "trivet.model.name": "echo",
            "trivet.model.version": 1,
            "trivet.request.id": "r-7",
        }
        assert len({span.trace_id for span in spans}) == 2  # the batch's own is the other
        for span in spans:
            begun, ended = span.times
            assert root.times[0] <= begun <= ended <= root.times[1]
        assert root.resource["service.name"] == "trivet"
