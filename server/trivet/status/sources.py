"""What the pages are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from trivet.clock import Clock
from trivet.model.cache import ResponseCache
from trivet.repository.registry import Registry
from trivet.scheduling.resources import ResourcePool
from trivet.telemetry.calls import Calls
from trivet.telemetry.gpus import Gpus
from trivet.telemetry.host import Host
from trivet.telemetry.otel.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is looked at; None: there is none.

    started: set when all that is to be served from the start on was tried.
    draining: set when the server takes leave, from which on it is not ready.
    over: set when the pages themselves are about to end.
    interval_ms: for so long figures of the machine and its GPUs are told again.
    otlp: what became of what was sent to a collector, by kind of data.
    """

    registry: Registry
    started: asyncio.Event
    draining: asyncio.Event
    clock: Clock
    calls: Calls
    cache: ResponseCache | None = None
    resources: ResourcePool | None = None
    host: Host | None = None
    gpus: Gpus | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    interval_ms: float = 2000.0
    otlp: Mapping[str, Ledger] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether the server as a whole is there for requests."""
        started = self.started.is_set() and not self.draining.is_set()
        return started and self.registry.all_ready()

    def close(self) -> None:
        """Let go of what was opened to be looked at."""
        if self.gpus is not None:
            self.gpus.close()
