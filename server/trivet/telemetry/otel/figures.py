"""A look at the server as the SDK's metrics: the page that Prometheus reads, in other words."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from trivet.telemetry.exposition import Process, Sheet
from trivet.telemetry.otel.exporters import SCOPE

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_GAUGES = frozenset({"gauge", "info"})


class FigureMaker:
    """Knows when counting began, and whose figures they are."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._since_ns = time.time_ns()

    def metrics(self, sheet: Sheet, process: Process) -> MetricsData:
        """All that has a value, under the names of the page. Takes microseconds per line."""
        families = (*sheet.collect(), *process.collect())
        metrics = [metric for family in families for metric in self._of(family)]
        of_scope = ScopeMetrics(SCOPE, metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [of_scope], "")])

    def _of(self, family: Family) -> Iterable[Metric]:
        now_ns, samples = time.time_ns(), family.samples
        if not samples:
            return
        about = family.documentation
        if family.type == "histogram":
            points = [self._distribution(each, now_ns) for each in _by_labels(samples)]
            yield Metric(family.name, about, "", Histogram(points, _CUMULATIVE))
            return
        numbers = [
            NumberDataPoint(sample.labels, self._since_ns, now_ns, float(sample.value))
            for sample in samples
        ]
        data = Gauge(numbers) if family.type in _GAUGES else Sum(numbers, _CUMULATIVE, True)
        yield Metric(samples[0].name, about, "", data)

    def _distribution(self, samples: Sequence[Sample], now_ns: int) -> HistogramDataPoint:
        """One histogram of samples whose buckets count all below, too."""
        buckets = [sample for sample in samples if sample.name.endswith("_bucket")]
        below = [0, *(int(bucket.value) for bucket in buckets)]
        bounds = [float(bucket.labels["le"]) for bucket in buckets]
        return HistogramDataPoint(
            attributes={name: value for name, value in samples[0].labels.items() if name != "le"},
            start_time_unix_nano=self._since_ns,
            time_unix_nano=now_ns,
            count=below[-1],
            sum=next(sample.value for sample in samples if sample.name.endswith("_sum")),
            bucket_counts=[upper - lower for lower, upper in pairwise(below)],
            explicit_bounds=[bound for bound in bounds if bound != inf],
            min=None,  # type: ignore[arg-type]  # not known; the wire has it as optional
            max=None,  # type: ignore[arg-type]
        )


def _by_labels(samples: Sequence[Sample]) -> Iterable[Sequence[Sample]]:
    """Samples of each histogram of a family, in their order."""
    found: dict[frozenset[tuple[str, str]], list[Sample]] = {}
    for sample in samples:
        labels = frozenset(item for item in sample.labels.items() if item[0] != "le")
        found.setdefault(labels, []).append(sample)
    return found.values()
