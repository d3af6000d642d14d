"""Spans of real requests, as a collector gets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from tests.harness.collector import Collector, collecting
from tests.harness.in_process import serving_here
from tests.integration.otlp.asking import (
    EVERY,
    NONE,
    POISON,
    STREAM,
    UNARY,
    infer,
    named,
    one,
    request_of,
    to,
    tree,
)
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
OF_A_MODEL = {"queue": [], "batch": ["compute"], "compute": []}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_request_is_a_tree_of_its_stages(repository: Path, protocol: str) -> None:
    with collecting(protocol) as collector:
        async with serving_here(repository, *to(collector), EVERY) as here:
            await infer(here, "echo", 1.0, 2.0, request_id="r-7")
        spans = collector.spans
    own = [span for span in spans if span.name != "batch echo"]
    expected = {UNARY: ["infer echo"], "infer echo": ["queue", "batch"], **OF_A_MODEL}
    assert tree(own) == expected
    root, asked = one(spans, UNARY), one(spans, "infer echo")
    assert root.message.kind == root.message.SPAN_KIND_SERVER
    assert root.parent_id == ""
    assert root.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
        "trivet.kept_for": "rate",
    }
    assert asked.attributes == {
        "trivet.model.name": "echo",
        "trivet.model.version": 1,
        "trivet.request.id": "r-7",
    }
    assert {span.trace_id for span in own} == {root.trace_id}
    for span in spans:
        begun, ended = span.times
        assert root.times[0] <= begun <= ended <= root.times[1]
    assert root.resource["service.name"] == "trivet"


async def test_requests_of_one_batch_link_to_its_one_span(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        await asyncio.gather(infer(here, "pairs", 1.0), infer(here, "pairs", 2.0))
    spans = collector.spans
    shared = one(spans, "batch pairs")
    links = [span.links for span in named(spans, "batch")]
    assert links == [[(shared.trace_id, shared.span_id)]] * 2
    roots = named(spans, UNARY)
    assert len({root.trace_id for root in roots} | {shared.trace_id}) == 3
    assert shared.parent_id == ""
    assert shared.attributes["trivet.batch.requests"] == 2
    assert shared.attributes["trivet.batch.rows"] == 2


async def test_steps_of_a_pipeline_are_children_of_it(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        await infer(here, "both")
    spans = collector.spans
    told = tree(spans)
    assert told[UNARY] == ["infer both"]
    assert told["infer both"] == ["step echo", "step picky"]
    assert told["step echo"] == told["step picky"] == ["queue", "batch"]
    first, second = one(spans, "step echo"), one(spans, "step picky")
    assert first.times[1] <= second.times[0]
    batches = {one(spans, f"batch {model}").span_id for model in ("echo", "picky")}
    assert {span_id for span in named(spans, "batch") for _, span_id in span.links} == batches


async def test_a_callers_trace_goes_on_and_the_caller_is_told_where(
    repository: Path, collector: Collector
) -> None:
    headers = {"traceparent": SAMPLED, "tracestate": "congo=t61rcWkgMzE", "baggage": "who=me"}
    async with serving_here(repository, *to(collector), NONE) as here:
        trailers = await infer(here, "echo", **headers)
        assert "traceresponse" not in await infer(here, "echo")
    root = one(collector.spans, UNARY)
    assert (root.trace_id, root.parent_id) == (TRACE, CALLER)
    assert root.message.trace_state == "congo=t61rcWkgMzE"
    assert root.attributes["trivet.kept_for"] == "parent"
    assert trailers["traceresponse"] == f"00-{TRACE}-{root.span_id}-01"


@pytest.mark.parametrize(
    "traceparent",
    ["", "nonsense", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01", f"00-{TRACE}-01"],
)
async def test_a_bad_traceparent_is_as_good_as_none(
    repository: Path, collector: Collector, traceparent: str
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        await infer(here, "echo", traceparent=traceparent)
    root = one(collector.spans, UNARY)
    assert (root.parent_id, root.attributes["trivet.kept_for"]) == ("", "rate")
    assert root.trace_id != TRACE


async def test_what_a_caller_does_not_sample_is_not_sent(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        trailers = await infer(here, "echo", traceparent=UNSAMPLED)
    assert collector.spans == []
    trace, span, flags = trailers["traceresponse"].split("-")[1:]
    assert (trace, flags) == (TRACE, "00")
    assert span != CALLER


async def test_failures_are_sent_whatever_the_rate(repository: Path, collector: Collector) -> None:
    async with serving_here(repository, *to(collector), NONE) as here:
        await infer(here, "picky")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await infer(here, "picky", POISON, traceparent=UNSAMPLED)
        with pytest.raises(grpc.aio.AioRpcError):
            await infer(here, "nobody")
    broke, unknown = named(collector.spans, UNARY)
    assert [span.attributes["trivet.kept_for"] for span in (broke, unknown)] == ["error"] * 2
    assert broke.trace_id == TRACE
    assert broke.attributes["rpc.grpc.status_code"] == 13
    assert broke.message.status.code == broke.message.status.STATUS_CODE_ERROR
    assert broke.message.status.message == failed.value.details()
    trailers = {str(key): value for key, value in failed.value.trailing_metadata() or ()}
    assert trailers["traceresponse"] == f"00-{TRACE}-{broke.span_id}-01"
    asked = one(collector.spans, "infer picky")
    assert asked.parent_id == broke.span_id
    assert "poisoned" in asked.message.status.message
    assert unknown.attributes["rpc.grpc.status_code"] == 5
    assert unknown.message.status.code == unknown.message.status.STATUS_CODE_UNSET  # the caller's


async def test_slow_requests_are_sent_whatever_the_rate(
    repository: Path, collector: Collector
) -> None:
    at_once = "--trace-slow-ms=0.000001"
    async with serving_here(repository, *to(collector), NONE, at_once) as here:
        await infer(here, "echo")
    assert one(collector.spans, UNARY).attributes["trivet.kept_for"] == "slow"
    collector.clear()
    never = "--trace-slow-ms=0"
    async with serving_here(repository, *to(collector), NONE, never) as here:
        await infer(here, "echo")
    assert collector.spans == []


async def test_each_message_of_a_stream_is_a_request(
    repository: Path, collector: Collector
) -> None:
    async def messages() -> AsyncIterator[pb.ModelInferRequest]:
        for model, value in (("echo", 1.0), ("picky", POISON), ("many", 3.0)):
            yield request_of(model, value)

    async with serving_here(repository, *to(collector), NONE) as here:
        stub = GRPCInferenceServiceAsyncStub(here.channel)
        stream = stub.ModelStreamInfer(messages(), metadata=(("traceparent", SAMPLED),))
        assert [bool(answer.error_message) async for answer in stream].count(True) == 1
    roots = named(collector.spans, STREAM)
    assert {(root.trace_id, root.parent_id) for root in roots} == {(TRACE, CALLER)}
    below = tree(collector.spans)
    children = {
        tuple(span.name for span in collector.spans if span.parent_id == root.span_id)
        for root in roots
    }
    assert children == {("infer echo",), ("infer picky",), ("infer many",)}
    assert below["infer echo"] == ["queue", "batch"]
    codes = sorted(root.attributes["rpc.grpc.status_code"] for root in roots)
    assert codes == [0, 0, 13]


async def test_settings_of_traces_may_change_while_it_serves(
    repository: Path, collector: Collector
) -> None:
    flags = (*to(collector), NONE, "--trace-slow-ms=0")
    async with (
        serving_here(repository, *flags) as here,
        triton.InferenceServerClient(here.address) as client,
    ):

        async def change(model: str | None = None, **settings: str) -> None:
            await client.update_trace_settings(model, settings)

        told = await client.get_trace_settings(as_json=True)
        settings = {name: each.get("value") for name, each in told["settings"].items()}
        assert settings["trace_mode"] == ["opentelemetry"]
        assert (settings["trace_level"], settings["trace_rate"]) == (["TIMESTAMPS"], ["0"])
        await infer(here, "echo", request_id="before")
        await change("echo", trace_rate="1", trace_count="1")
        await infer(here, "echo", request_id="sent")
        await infer(here, "echo", request_id="count is over")
        await infer(here, "picky", request_id="another model")
        await change("echo", trace_level="OFF")
        await infer(here, "echo", request_id="off", traceparent=SAMPLED)
        with pytest.raises(InferenceServerException, match="spans carry no tensors"):
            await change(trace_level="TENSORS")
        with pytest.raises(InferenceServerException, match="'triton' can not be updated"):
            await change(trace_mode="triton")
        await change(trace_level="OFF")
        with pytest.raises(grpc.aio.AioRpcError):
            await infer(here, "nobody")
    asked = [span for span in collector.spans if span.name.startswith("infer ")]
    assert [span.attributes["trivet.request.id"] for span in asked] == ["sent"]
    assert len(named(collector.spans, UNARY)) == 1


async def test_as_in_triton_a_mode_without_a_level_traces_nothing_yet(
    repository: Path, collector: Collector
) -> None:
    flags = (
        "--trace-config=mode=opentelemetry",
        f"--trace-config=opentelemetry,url={collector.endpoint.removeprefix('http://')}/v1/traces",
        "--trace-config=opentelemetry,resource=service.name=mine",
        "--trace-config=opentelemetry,resource=team=blue",
        EVERY,
    )
    async with (
        serving_here(repository, *flags) as here,
        triton.InferenceServerClient(here.address) as client,
    ):
        await infer(here, "echo", request_id="not yet")
        await client.update_trace_settings(settings={"trace_level": "TIMESTAMPS"})
        await infer(here, "echo", request_id="now")
    asked = one(collector.spans, "infer echo")
    assert asked.attributes["trivet.request.id"] == "now"
    assert (asked.resource["service.name"], asked.resource["team"]) == ("mine", "blue")
    assert collector.metrics == []


async def test_the_variables_of_opentelemetry_hold_where_flags_are_silent(
    repository: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "berts",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "OTEL_TRACES_SAMPLER": "always_on",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with serving_here(repository) as here:
        await infer(here, "echo", traceparent=UNSAMPLED)  # always_on does not ask the caller
    root = one(collector.spans, UNARY)
    assert (root.trace_id, root.parent_id) == (TRACE, CALLER)
    assert root.attributes["trivet.kept_for"] == "rate"
    assert root.resource["service.name"] == "berts"
    assert root.resource["deployment.environment"] == "test"
    assert collector.headers[0]["api-key"] == "secret"
    assert collector.metrics == []
