"""Settings -> what sends spans and metrics. Whoever imports this has the SDK."""

from __future__ import annotations

from trivet.clock import Clock
from trivet.telemetry.otel.exporters import metric_exporter, resource_of, span_exporter
from trivet.telemetry.otel.figures import FigureMaker
from trivet.telemetry.otel.last_word import LastWord
from trivet.telemetry.otel.ledger import METRICS, TRACES, Ledger
from trivet.telemetry.otel.outlet import Outlet
from trivet.telemetry.otel.pushing import Look, Pusher
from trivet.telemetry.otel.settings import OtlpConfig
from trivet.telemetry.otel.spans import BackendOf, SpanMaker
from trivet.telemetry.otel.tracer import SpanTracer
from trivet.telemetry.trace_settings import TraceSettings


class Otlp:
    """What of OTLP there is: each kind of data has its exporter, its ledger and its thread."""

    def __init__(self, config: OtlpConfig) -> None:
        self._config = config
        self._resource = resource_of(config.resource)
        self._last_word = LastWord()
        self._last_word.listen()
        self.ledgers: dict[str, Ledger] = {}

    def tracer(self, clock: Clock, settings: TraceSettings, backend_of: BackendOf) -> SpanTracer:
        """Sends spans of this server's requests. config.traces is not None."""
        target = self._config.traces
        assert target
        ledger = Ledger(TRACES, target.endpoint, self._last_word)
        self.ledgers[TRACES] = ledger
        outlet = Outlet(span_exporter(target), self._config, ledger)
        return SpanTracer(clock, settings, SpanMaker(self._resource, backend_of), outlet)

    def pusher(self, look: Look) -> Pusher | None:
        """Sends looks at the metrics; None where nobody wants them."""
        if (target := self._config.metrics) is None:
            return None
        ledger = Ledger(METRICS, target.endpoint, self._last_word)
        self.ledgers[METRICS] = ledger
        figures = FigureMaker(self._resource)
        interval_s = self._config.interval_ms / 1000
        return Pusher(look, figures, metric_exporter(target), ledger, interval_s)
