"""The composition root: builds the whole server from values, and takes it down in reverse.

Reading it is the tour of the system. Nothing below it reads the environment or a global.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from trivet import plugins
from trivet.backend.cores import granted_cores
from trivet.backend.gpus import devices
from trivet.clock import SystemClock
from trivet.config_file import Faults
from trivet.errors import Fault, InvalidConfig
from trivet.frontend.access import Access, Restriction, guarded
from trivet.frontend.access_rules import Group
from trivet.frontend.access_tokens import TokenFile
from trivet.frontend.admission import Admission, AdmissionLimits
from trivet.frontend.counted import counted
from trivet.frontend.extras import Extras
from trivet.frontend.forwarding import HeaderForwarder
from trivet.frontend.limits import Limits
from trivet.frontend.method import Method, Methods
from trivet.frontend.regions import Regions
from trivet.frontend.services import DEFAULT_SERVER_NAME, methods
from trivet.frontend.traced import traced
from trivet.model.cache import ResponseCache
from trivet.repository.control import Control
from trivet.repository.manager import Manager
from trivet.repository.options import ControlOptions
from trivet.repository.registry import Registry
from trivet.scheduling.labelling.vectors import Vectors
from trivet.scheduling.rate_limit import Limit, check_limits
from trivet.scheduling.resources import ResourcePool
from trivet.scheduling.watchdog import TimeLimits
from trivet.status.options import PageOptions
from trivet.status.sending import Sending
from trivet.status.sources import Sources
from trivet.telemetry.calls import Calls
from trivet.telemetry.gpus import Gpus
from trivet.telemetry.host import Host
from trivet.telemetry.logs import Log
from trivet.telemetry.otel.settings import OtlpConfig
from trivet.telemetry.trace_settings import TraceSettings
from trivet.telemetry.tracing import Tracer
from trivet.transport.http import Application, HttpOptions, serving_http
from trivet.transport.options import Options, exposure
from trivet.transport.serving import serving

log = logging.getLogger(__name__)

# Seconds. An engine that is still busy by then computes for callers who were cut off already.
UNLOAD_S = 3.0


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


@dataclass(frozen=True, slots=True)
class App:
    """A server that is ready."""

    grpc_port: int
    registry: Registry
    metrics_port: int | None = None  # None: there is none


@asynccontextmanager
async def running(config: ServerConfig) -> AsyncIterator[App]:
    """Serve until the block ends: say so, refuse new calls, answer the accepted ones, unload.

    The port is open, and health answers NOT_SERVING, while models still load.
    Raises InvalidConfig if the port is taken, a repository cannot be read or, with
    `exit_on_error`, a model cannot be loaded.
    """
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        cores = granted_cores()
        registry = Registry()
        cache = ResponseCache(config.cache_bytes) if config.cache_bytes else None
        resources = _resources(config.rate_limits)
        vectors = Vectors()
        manager = Manager(
            config.repositories,
            registry,
            plugins.backends(),
            partial(plugins.load_backend, user_code=config.allow_python_backend),
            clock,
            cores,
            cache=cache,
            hold_until=config.hold_until,
            resources=resources,
            vectors=vectors,
            limits=config.time_limits,
        )
        control = Control(manager, clock, config.control)
        await control.scan()
        draining, access = asyncio.Event(), _access(config, clock)
        started, metrics_port = asyncio.Event(), None
        counting = config.metrics is not None
        sending = Sending(config.otlp, config.trace, clock, registry, counting=counting)
        calls, told = sending.calls, config.metrics or MetricsConfig()
        asked: dict[str, Method] = {}  # by the page's playground; filled when there are methods
        if calls:
            sources = Sources(
                registry=registry,
                started=started,
                draining=draining,
                clock=clock,
                calls=calls,
                cache=cache,
                resources=resources,
                host=Host() if told.cpu else None,
                gpus=Gpus() if told.gpu else None,
                interval_ms=told.interval_ms,
                otlp=sending.ledgers,
            )
            stack.callback(sources.close)
            sending.start(sources)
        if config.metrics and calls:  # the last to go: until then it tells how far the stop has got
            http = serving_http(
                _pages(sources, access, config.metrics.page, asked), config.metrics.http
            )
            metrics_port = await stack.enter_async_context(http)
            stack.callback(sources.over.set)
        stack.push_async_callback(_unload, control)
        stack.push_async_callback(sending.close)  # while there are models to tell of
        table = methods(
            registry,
            draining=draining,
            server_name=config.server_name,
            extras=_extras(config, sending.tracer, calls),
            control=control,
            vectors=vectors,
            admission=Admission(registry, config.admission),
        )
        table = traced(counted(guarded(table, access), calls), sending.spans)
        asked.update(table)
        port = await stack.enter_async_context(serving(table, config.grpc))
        for danger in exposure(config.grpc, tokens=config.token_file is not None):
            address = config.grpc.address(port)
            log.warning("open_to_the_network", extra={"address": address, "danger": danger})
        if config.metrics and metrics_port is not None:
            _warn_of_exposure(config.metrics, metrics_port, tokens=access.tokens is not None)
        stack.callback(draining.set)
        stack.callback(registry.leave)
        faults = await control.start(quiet=config.exit_on_error)
        if faults and config.exit_on_error:
            raise InvalidConfig(faults)
        started.set()
        watching = asyncio.create_task(control.watch())
        stack.callback(watching.cancel)
        stack.push_async_callback(_announce_leave, registry, config.shutdown_delay_s)
        yield App(port, registry, metrics_port)


async def _announce_leave(registry: Registry, delay_s: float) -> None:
    """Show as not ready, and serve on until those who send requests here have noticed."""
    registry.leave()
    await asyncio.sleep(delay_s)


def _pages(
    sources: Sources, access: Access, page: PageOptions | None, asked: Methods
) -> Application:
    """Raises InvalidConfig if what writes them is not installed."""
    try:
        from trivet.status.pages import pages
    except ModuleNotFoundError as error:
        cure = "pip install 'trivet[server]', or serve with --allow-metrics=false"
        raise InvalidConfig([Fault("--allow-metrics", f"{error.name} is missing", cure)]) from None
    return pages(sources, access, page, asked)


def _warn_of_exposure(metrics: MetricsConfig, port: int, *, tokens: bool) -> None:
    listener = metrics.http.listener
    if listener.is_local:
        return
    dangers = ["what the server does can be read on its way; keep the port inside your network"]
    if metrics.page and metrics.page.playground and not tokens:
        dangers.append(
            "anyone may ask models on its page; use --token-file or --allow-playground=false"
        )
    for danger in dangers:
        extra = {"address": listener.address(port), "danger": danger}
        log.warning("open_to_the_network", extra=extra)


def _extras(config: ServerConfig, tracer: Tracer, calls: Calls | None) -> Extras:
    """Raises InvalidConfig for a pattern that is no regular expression."""
    pattern = config.header_forward_pattern
    return Extras(
        regions=Regions(config.grpc.max_message_bytes) if config.allow_client_shm else None,
        forwarder=HeaderForwarder(pattern) if pattern else None,
        tracer=tracer,
        log=config.log,
        limits=config.limits,
        calls=calls,
    )


def _access(config: ServerConfig, clock: SystemClock) -> Access:
    """Raises InvalidConfig if the token file cannot be used."""
    tokens = TokenFile(config.token_file, clock) if config.token_file else None
    return Access(restrictions=config.restrictions, tokens=tokens)


def _resources(limits: tuple[Limit, ...] | None) -> ResourcePool | None:
    """Raises InvalidConfig for resources of a device that there is not."""
    if limits is None:
        return None
    faults = Faults()
    check_limits(limits, devices(), faults)
    faults.raise_if_any()
    return ResourcePool(limits)


async def _unload(control: Control) -> None:
    try:
        async with asyncio.timeout(UNLOAD_S):
            await control.close()
    except TimeoutError:
        log.warning("models_still_busy", extra={"waited_s": UNLOAD_S})
