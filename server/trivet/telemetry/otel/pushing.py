"""Sends a look at the metrics every so often, from a thread of its own.

The SDK's reader makes metrics of the SDK's counters, and histograms of nothing else; ours are
counted already. So it is the SDK's exporter that is used, and a reader as small as this.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from trivet.telemetry.exposition import Process, Sheet
from trivet.telemetry.otel.figures import FigureMaker
from trivet.telemetry.otel.ledger import Ledger

log = logging.getLogger(__name__)

# Takes what writes a look, and gives what it wrote; called in the event loop.
Look = Callable[[Callable[[Sheet, Process], MetricsData]], Coroutine[Any, Any, MetricsData]]

LOOK_S = 10.0  # that the event loop may take for it
CLOSE_S = 2.0  # that a server which ends gives its collector to take the last look


class Pusher:
    """Nothing waits: a look that cannot be sent is dropped, and the next one tells as much."""

    def __init__(
        self,
        look: Look,
        figures: FigureMaker,
        exporter: MetricExporter,
        ledger: Ledger,
        interval_s: float,
    ) -> None:
        """Made in the event loop that looks."""
        self._loop = asyncio.get_running_loop()
        self._look = look
        self._figures = figures
        self._exporter = exporter
        self._ledger = ledger
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._pushing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def push(self) -> None:
        """Look and send; returns when that was tried. Not for the event loop's thread."""
        with self._pushing:
            try:
                looking = self._look(self._figures.metrics)
                looked = asyncio.run_coroutine_threadsafe(looking, self._loop)
                result = self._exporter.export(looked.result(LOOK_S))
            except Exception as error:
                log.error("metrics_not_pushed", exc_info=error)
                result = MetricExportResult.FAILURE
            if result is MetricExportResult.SUCCESS:
                self._ledger.sent(1)
            else:
                self._ledger.failed(1)

    async def close(self) -> None:
        """Send a last look, for as long as CLOSE_S allows."""
        self._ended.set()
        last = threading.Thread(target=self._end, daemon=True)
        last.start()
        await asyncio.to_thread(last.join, CLOSE_S)
        if last.is_alive():
            log.warning("otlp_not_sent", extra={"kind": self._ledger.kind, "items": 1})
            threading.Thread(target=self._exporter.shutdown, daemon=True).start()

    def _end(self) -> None:
        self.push()
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.push()
