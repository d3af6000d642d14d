"""What waits to be sent to a collector: bounded, and what is lost is counted and told once.

Whoever puts something in never waits: the SDK's own thread sends it. What does not fit is dropped,
a whole trace at a time, and so is what the collector does not take.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from trivet.telemetry.otel.ledger import Ledger
from trivet.telemetry.otel.settings import OtlpConfig

log = logging.getLogger(__name__)

# Seconds that a server which ends gives its collector to take the rest.
CLOSE_S = 2.0


class _Counting(SpanExporter):
    """An exporter, and what became of what it was given. Called by one thread at a time."""

    def __init__(self, exporter: SpanExporter, ledger: Ledger) -> None:
        self._exporter = exporter
        self._ledger = ledger
        self.left = 0  # spans that wait no more

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self.left += len(spans)
            if result is SpanExportResult.SUCCESS:
                self._ledger.sent(len(spans))
            else:
                self._ledger.failed(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Outlet:
    """Where spans go. Put in from the event loop only."""

    def __init__(self, exporter: SpanExporter, config: OtlpConfig, ledger: Ledger) -> None:
        self._max_queue = config.max_queue
        self._exporter = _Counting(exporter, ledger)
        self._ledger = ledger
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=config.max_queue,
            schedule_delay_millis=config.delay_ms,
            max_export_batch_size=config.max_batch,
        )
        self._put = 0

    @property
    def waiting(self) -> int:
        """Spans that are neither sent nor lost."""
        return self._put - self._exporter.left

    def put(self, spans: Sequence[ReadableSpan]) -> None:
        """Have the spans of one trace sent, or lose all of them if there is no room."""
        if self.waiting + len(spans) > self._max_queue:
            self._ledger.had_no_room(len(spans))
            return
        self._put += len(spans)
        for span in spans:
            self._processor.on_end(span)

    def flush(self) -> None:
        """Send what waits; returns when that was tried."""
        self._processor.force_flush()

    def close(self) -> None:
        """Send the rest, for as long as CLOSE_S allows."""
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            log.warning("otlp_not_sent", extra={"kind": "traces", "items": self.waiting})
            # In a thread, too: one that is sending keeps the lock of its exporter.
            threading.Thread(target=self._exporter.shutdown, daemon=True).start()
