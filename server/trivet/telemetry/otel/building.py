"""Settings -> what sends spans and metrics. Whoever imports this has the SDK."""

from __future__ import annotations

from trivet.clock import Clock
from trivet.telemetry.otel.exporters import metric_exporter, resource_of, span_exporter
from trivet.telemetry.otel.figures import FigureMaker
from trivet.telemetry.otel.last_word import LastWord
from trivet.telemetry.otel.ledger import METRICS, TRACES, Ledger
from trivet.telemetry.otel.outlet import Outlet
from trivet.telemetry.otel.pushing import Look, Pusher
from trivet.telemetry.otel.settings import OtlpConfig, Target
from trivet.telemetry.otel.spans import BackendOf, SpanMaker
from trivet.telemetry.otel.tracer import SpanTracer
from trivet.telemetry.trace_settings import TraceSettings


class Otlp:
    """What of OTLP there is: each kind of data has its exporter, its ledger and its thread."""

    def __init__(self, config: OtlpConfig) -> None:
        """Raises ModuleNotFoundError, or what the SDK raises at variables that it cannot use."""
        self._config = config
        self._spans = span_exporter(config.traces) if config.traces else None
        self._metrics = metric_exporter(config.metrics) if config.metrics else None
        self._resource = resource_of(config.resource)
        self._last_word = LastWord()
        self._last_word.listen()
        self.ledgers: dict[str, Ledger] = {}

    def tracer(self, clock: Clock, settings: TraceSettings, backend_of: BackendOf) -> SpanTracer:
        """Sends spans of this server's requests. config.traces is not None."""
        assert self._spans and self._config.traces
        ledger = self._ledger(TRACES, self._config.traces)
        outlet = Outlet(self._spans, self._config, ledger)
        return SpanTracer(clock, settings, SpanMaker(self._resource, backend_of), outlet)

    def pusher(self, look: Look) -> Pusher | None:
        """Sends looks at the metrics; None where nobody wants them."""
        if self._metrics is None or self._config.metrics is None:
            return None
        ledger = self._ledger(METRICS, self._config.metrics)
        figures = FigureMaker(self._resource)
        return Pusher(look, figures, self._metrics, ledger, self._config.interval_ms / 1000)

    def _ledger(self, kind: str, target: Target) -> Ledger:
        self.ledgers[kind] = Ledger(kind, target.endpoint, self._last_word)
        return self.ledgers[kind]
