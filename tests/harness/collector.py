"""A collector of OpenTelemetry: what servers send it by OTLP, by gRPC or HTTP, is kept and read."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Span:
    """One span, its ids in hexadecimal digits."""

    message: trace_pb2.Span
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.message.name

    @property
    def trace_id(self) -> str:
        return self.message.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.message.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.message.parent_span_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return values_of(self.message.attributes)

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(link.trace_id.hex(), link.span_id.hex()) for link in self.message.links]

    @property
    def times(self) -> tuple[int, int]:
        return self.message.start_time_unix_nano, self.message.end_time_unix_nano


@dataclass
class Collector:
    """What came. `gate` is set; who clears it makes every sender wait."""

    endpoint: str = ""
    protocol: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return [
            Span(span, values_of(of.resource.attributes))
            for request in list(self.traces)
            for of in request.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    @property
    def last_metrics(self) -> tuple[Resource, dict[str, Metric]]:
        """What the last look said: of whom, and by name."""
        (of,) = self.metrics[-1].resource_metrics
        found = [metric for scope in of.scope_metrics for metric in scope.metrics]
        assert len({metric.name for metric in found}) == len(found), "the same name twice"
        return of.resource, {metric.name: metric for metric in found}

    def take(self, request: Any, headers: dict[str, str]) -> None:
        self.gate.wait()
        self.headers.append(headers)
        kept: list[Any] = (
            self.traces if isinstance(request, ExportTraceServiceRequest) else self.metrics
        )
        kept.append(request)

    def clear(self) -> None:
        self.traces.clear()
        self.metrics.clear()


def values_of(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")


class _Traces(TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        self._collector.take(request, dict(context.invocation_metadata()))
        return ExportTraceServiceResponse()


class _Metrics(MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> ExportMetricsServiceResponse:  # noqa: N802
        self._collector.take(request, dict(context.invocation_metadata()))
        return ExportMetricsServiceResponse()


_PATHS: dict[str, tuple[Any, Any]] = {
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}


@contextmanager
def _over_http(collector: Collector, tls: ssl.SSLContext | None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            asked, answer = _PATHS[self.path]
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.take(asked.FromString(body), headers)
            told = answer().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
    finally:
        collector.gate.set()
        server.shutdown()
        serving.join()
        server.server_close()


@contextmanager
def _over_grpc(collector: Collector) -> Iterator[str]:
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        add_TraceServiceServicer_to_server(_Traces(collector), server)  # type: ignore[no-untyped-call]
        add_MetricsServiceServicer_to_server(_Metrics(collector), server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            collector.gate.set()
            server.stop(0).wait()


@contextmanager
def collecting(
    protocol: str = "http/protobuf", tls: ssl.SSLContext | None = None
) -> Iterator[Collector]:
    """A collector until the block ends. tls: of one over HTTP."""
    collector = Collector(protocol=protocol)
    collector.gate.set()
    made = _over_grpc(collector) if protocol == "grpc" else _over_http(collector, tls)
    with made as endpoint:
        collector.endpoint = endpoint
        yield collector
