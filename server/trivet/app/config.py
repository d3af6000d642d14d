"""What a running server is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trivet.frontend.access import Restriction
from trivet.frontend.access_rules import Group
from trivet.frontend.admission import AdmissionLimits
from trivet.frontend.limits import Limits
from trivet.frontend.services import DEFAULT_SERVER_NAME
from trivet.repository.options import ControlOptions
from trivet.scheduling.rate_limit import Limit
from trivet.scheduling.watchdog import TimeLimits
from trivet.status.options import PageOptions
from trivet.telemetry.logs import Log
from trivet.telemetry.otel.settings import OtlpConfig
from trivet.telemetry.trace_settings import TraceSettings
from trivet.transport.http import HttpOptions
from trivet.transport.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """What is told over HTTP. cpu, gpu: figures of the machine, looked at every `interval_ms`.

    page: the one to look at; None: there is none.
    """

    http: HttpOptions = field(default_factory=HttpOptions)
    cpu: bool = True
    gpu: bool = True
    interval_ms: float = 2000.0
    page: PageOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything an operator can set."""

    repositories: tuple[Path, ...]
    grpc: Options
    restrictions: Mapping[Group, Restriction] = field(default_factory=dict)
    token_file: Path | None = None  # None: callers need no token
    server_name: str = DEFAULT_SERVER_NAME
    control: ControlOptions = field(default_factory=ControlOptions)
    cache_bytes: int = 0  # of the response cache; 0: there is none
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)  # of all requests together
    shutdown_delay_s: float = 0.0  # told to stop: serve on for so long, and show as not ready
    exit_on_error: bool = True  # end if a model cannot be loaded, instead of serving the others
    hold_until: int = 0  # requests that must wait before a scheduler takes its first batch
    rate_limits: tuple[Limit, ...] | None = None  # None: instances run whenever they can
    time_limits: TimeLimits = field(default_factory=TimeLimits)  # of engines, for models without
    allow_client_shm: bool = False  # tensors in POSIX shared memory that clients name
    allow_python_backend: bool = False  # run code out of the repositories
    header_forward_pattern: str = ""  # headers that become parameters; empty: none
    limits: Limits = field(default_factory=Limits)  # of what a request may consist
    trace: TraceSettings = field(default_factory=TraceSettings)
    otlp: OtlpConfig | None = None  # what is sent to a collector; None: nothing
    log: Log = field(default_factory=Log)  # of this process, started already
    metrics: MetricsConfig | None = None  # None: nothing is told over HTTP
