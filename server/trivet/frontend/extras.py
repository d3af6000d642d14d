"""What an operator may switch on, or change while serving; each costs next to nothing while off."""

from __future__ import annotations

from dataclasses import dataclass, field

from trivet.clock import SystemClock
from trivet.frontend.forwarding import HeaderForwarder
from trivet.frontend.limits import Limits
from trivet.frontend.regions import Regions
from trivet.telemetry.calls import Calls
from trivet.telemetry.logs import Log
from trivet.telemetry.tracing import Tracer


def _tracing_nothing() -> Tracer:
    return Tracer(SystemClock())


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """regions: tensors in shared memory; None: refused. forwarder: headers that become parameters.

    tracer, log: what TraceSetting and LogSettings change. limits: what is taken of a request.
    calls: where requests are counted; None: nowhere.
    """

    regions: Regions | None = None
    forwarder: HeaderForwarder | None = None
    tracer: Tracer = field(default_factory=_tracing_nothing)
    log: Log = field(default_factory=Log)
    limits: Limits = field(default_factory=Limits)
    calls: Calls | None = None
