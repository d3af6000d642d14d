"""What of this server goes to a collector of OpenTelemetry, put together from settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trivet.clock import Clock
from trivet.errors import Fault, InvalidConfig, ServeError
from trivet.frontend.traced import RequestTracer, TracedCalls
from trivet.repository.registry import Registry
from trivet.status.observation import Observation
from trivet.status.sources import Sources
from trivet.telemetry.calls import Calls
from trivet.telemetry.otel.ledger import Ledger
from trivet.telemetry.otel.settings import OtlpConfig
from trivet.telemetry.trace_settings import TraceSettings
from trivet.telemetry.tracing import Tracer

if TYPE_CHECKING:
    from trivet.telemetry.otel.building import Otlp
    from trivet.telemetry.otel.pushing import Pusher


class Sending:
    """The tracer and the counters that a server has, whether they are sent anywhere or not."""

    def __init__(
        self,
        config: OtlpConfig | None,
        trace: TraceSettings,
        clock: Clock,
        registry: Registry,
        *,
        counting: bool,
    ) -> None:
        """config: None for a server that sends nothing. counting: somebody else reads metrics.

        Raises InvalidConfig if the SDK is not installed, or does not take its own variables.
        """
        self._otlp = _otlp(config) if config else None
        self._registry = registry
        self._pusher: Pusher | None = None
        self.spans: RequestTracer | None = None  # who makes spans of requests, if anybody does
        self.tracer = Tracer(clock, trace)
        self.calls: Calls | None = None
        if self._otlp and config and config.traces:
            self.spans = self.tracer = self._otlp.tracer(clock, trace, self._backend_of)
            self.calls = TracedCalls(clock, self.spans)
        elif counting or config:
            self.calls = Calls(clock)

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """What was sent and lost, by kind of data."""
        return self._otlp.ledgers if self._otlp else {}

    def start(self, sources: Sources) -> None:
        """Send metrics from now on, if a collector wants them. Call in the event loop."""
        if self._otlp and (pusher := self._otlp.pusher(Observation(sources).written)):
            self._pusher = pusher
            pusher.start()

    async def close(self) -> None:
        """Send the rest, for as long as a collector that is away may hold up a server that ends."""
        closing = [asyncio.to_thread(self.tracer.close)]
        if self._pusher:
            closing.append(self._pusher.close())
        await asyncio.gather(*closing)

    def _backend_of(self, model: str) -> str:
        try:
            with self._registry.acquire(model) as served:
                return served.config.backend
        except ServeError:
            return ""  # it has left meanwhile


def _otlp(config: OtlpConfig) -> Otlp:
    try:
        from trivet.telemetry.otel.building import Otlp

        return Otlp(config)
    except ModuleNotFoundError as error:
        cure = "pip install 'trivet[otel]', or name no collector"
        raise InvalidConfig([Fault("--otlp-endpoint", f"{error.name} is missing", cure)]) from None
    except Exception as error:  # the SDK reads its variables itself, and has errors of its own
        cure = "correct the variable OTEL_... that it is about"
        raise InvalidConfig([Fault("environment: OTEL_*", str(error), cure)]) from error
