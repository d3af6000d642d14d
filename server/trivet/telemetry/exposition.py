"""Values -> the text that Prometheus reads (format 0.0.4), by prometheus_client."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import inf
from typing import Any

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    UntypedMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from trivet.telemetry.histogram import Histogram
from trivet.telemetry.metrics import METRICS, Kind, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Its writer knows counters only with _total, which Triton's have not: they pass as untyped.
_UNTYPED = re.compile(rb"^# TYPE (nv_\w+) untyped$", re.MULTILINE)


class Sheet:
    """The values of one look at the server, by metric."""

    def __init__(self) -> None:
        # Any: a family's type says what `add_metric` takes, and their common one has none.
        self._families: dict[str, Any] = {metric.name: _family(metric) for metric in METRICS}

    def add(self, name: str, value: float, *labels: str) -> None:
        """labels: values in the order of the metric's names."""
        self._families[name].add_metric(labels, value)

    def add_histogram(
        self, name: str, histogram: Histogram, *labels: str, per_unit: float = 1e9
    ) -> None:
        """per_unit: the histogram's own units to one of the metric's.

        One without a value is left out: a thousand idle models would be a hundred thousand lines.
        """
        counts = list(histogram.counts)
        if not any(counts):
            return
        bounds = [*(bound / per_unit for bound in histogram.bounds), inf]
        buckets = [
            (_le(bound), count) for bound, count in zip(bounds, accumulate(counts), strict=True)
        ]
        self._families[name].add_metric(labels, buckets, histogram.sum / per_unit)

    def collect(self) -> Iterator[Family]:
        """Those that have a value."""
        return (family for family in self._families.values() if family.samples)


class Process:
    """Figures of this process and its interpreter, under the names every Python process has."""

    def __init__(self) -> None:
        unused = CollectorRegistry()  # they insist on one
        self._collectors: tuple[Collector, ...] = (
            ProcessCollector(registry=unused),
            PlatformCollector(registry=unused),
            GCCollector(registry=unused),
        )

    def collect(self) -> Iterator[Family]:
        return (family for collector in self._collectors for family in collector.collect())


class _All(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def text(sheet: Sheet, process: Process) -> bytes:
    """The whole page. Takes 4 us per line, hence not in the event loop."""
    written: bytes = generate_latest(_All([*sheet.collect(), *process.collect()]))
    return _UNTYPED.sub(rb"# TYPE \1 counter", written)


def _family(metric: Metric) -> Family:
    name, told, labels = metric.name, metric.help + ".", metric.labels
    if metric.kind is Kind.HISTOGRAM:
        return HistogramMetricFamily(name, told, labels=labels)
    if metric.kind is Kind.GAUGE:
        return GaugeMetricFamily(name, told, labels=labels)
    if name.endswith("_total"):
        return CounterMetricFamily(name, told, labels=labels)
    return UntypedMetricFamily(name, told, labels=labels)


def _le(bound: float) -> str:
    return "+Inf" if bound == inf else repr(float(bound))
