"""Metrics that are sent are those of the page, under the same names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.request import urlopen

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.collector import collecting, values_of
from tests.harness.in_process import serving_here
from tests.integration.otlp.asking import NONE, infer, to
from trivet.telemetry.metrics import BY_NAME, Kind

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

# What may be another value a moment later, or when the server takes leave.
_OF_THE_MOMENT = ("process_", "python_gc_", "nv_cpu_", "trivet_ready")


def of_the_page(text: str) -> Samples:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # The parser gives every counter the ending, also Triton's that have none.
            name = sample.name.removesuffix("_total") if sample.name[:3] == "nv_" else sample.name
            found[name, frozenset(sample.labels.items())] = sample.value
    return found


def of_the_wire(metrics: dict[str, Metric]) -> Samples:
    """As the page has them: of a histogram, each bucket with all below it."""
    found: Samples = {}
    for name, metric in metrics.items():
        numbers = metric.gauge if metric.HasField("gauge") else metric.sum
        for point in numbers.data_points:
            found[name, frozenset(values_of(point.attributes).items())] = point.as_double
        for each in metric.histogram.data_points:
            labels = frozenset(values_of(each.attributes).items())
            below = 0
            bounds = [*map(str, each.explicit_bounds), "+Inf"]
            for bound, count in zip(bounds, each.bucket_counts, strict=True):
                below += count
                found[f"{name}_bucket", labels | {("le", bound)}] = below
            found[f"{name}_count", labels] = each.count
            found[f"{name}_sum", labels] = each.sum
    return found


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_what_is_sent_is_what_the_page_says(repository: Path, protocol: str) -> None:
    with collecting(protocol) as collector:
        flags = (*to(collector), NONE, "--trace-slow-ms=0", "--metrics-port=0")
        async with serving_here(repository, *flags) as here:
            for _ in range(3):
                await infer(here, "both")
            url = f"http://127.0.0.1:{here.app.metrics_port}/metrics"
            page = of_the_page(await asyncio.to_thread(lambda: urlopen(url).read().decode()))
        resource, metrics = collector.last_metrics
    sent = of_the_wire(metrics)
    assert set(sent) == set(page)
    for (name, labels), value in page.items():
        if not name.startswith(_OF_THE_MOMENT):
            assert sent[name, labels] == value, (name, labels)
    both = frozenset({("model", "both"), ("version", "1")})
    assert sent["nv_inference_request_success", both] == 3
    for name, metric in metrics.items():
        if name in BY_NAME:
            is_counter = BY_NAME[name].kind is Kind.COUNTER
            assert metric.sum.is_monotonic == is_counter, name
    assert values_of(resource.attributes)["service.name"] == "trivet"


async def test_metrics_are_sent_without_a_page_and_without_traces(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.endpoint}/v1/metrics"
        )
        async with serving_here(repository) as here:
            assert here.app.metrics_port is None
            await infer(here, "echo", traceparent=f"00-{1:032x}-{1:016x}-01")
        _, metrics = collector.last_metrics
        assert (
            of_the_wire(metrics)[
                "trivet_requests_total",
                frozenset({("task", "Infer"), ("kind", "call"), ("code", "OK")}),
            ]
            == 1
        )
        assert collector.spans == []
