"""What the server tells of itself: over HTTP, and to a collector."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from trivet.app.config import MetricsConfig, ServerConfig
from trivet.app.core import Core
from trivet.errors import Fault, InvalidConfig
from trivet.frontend.access import Access
from trivet.frontend.method import Method
from trivet.status.sending import Sending
from trivet.status.sources import Sources
from trivet.telemetry.gpus import Gpus
from trivet.telemetry.host import Host
from trivet.transport.http import Application, serving_http

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Telling:
    """Who counts and traces, and where it can be read.

    asked: the methods that the page's playground asks; filled when there are any. port: None where
    nothing is told over HTTP.
    """

    sending: Sending
    asked: dict[str, Method] = field(default_factory=dict)
    port: int | None = None


@asynccontextmanager
async def telling(config: ServerConfig, core: Core, access: Access) -> AsyncIterator[Telling]:
    """Tell until the block ends, which is when all else has ended: how far a stop has got, too.

    Raises InvalidConfig if the port is taken, or what is needed for it is not installed.
    """
    metrics = config.metrics
    counting = metrics is not None
    sending = Sending(config.otlp, config.trace, core.clock, core.registry, counting=counting)
    told = Telling(sending)
    async with AsyncExitStack() as stack:
        if sending.calls:
            sources = _sources(metrics or MetricsConfig(), core, sending)
            stack.callback(sources.close)
            sending.start(sources)
            if metrics:
                http = serving_http(_pages(sources, access, metrics, told), metrics.http)
                told.port = await stack.enter_async_context(http)
                _warn_of_exposure(metrics, told.port, tokens=access.tokens is not None)
                stack.callback(sources.over.set)
        yield told


def _sources(metrics: MetricsConfig, core: Core, sending: Sending) -> Sources:
    assert sending.calls is not None
    return Sources(
        registry=core.registry,
        started=core.started,
        draining=core.draining,
        clock=core.clock,
        calls=sending.calls,
        cache=core.cache,
        resources=core.resources,
        host=Host() if metrics.cpu else None,
        gpus=Gpus() if metrics.gpu else None,
        interval_ms=metrics.interval_ms,
        otlp=sending.ledgers,
    )


def _pages(sources: Sources, access: Access, metrics: MetricsConfig, told: Telling) -> Application:
    try:
        from trivet.status.pages import pages
    except ModuleNotFoundError as error:
        cure = "pip install 'trivet[server]', or serve with --allow-metrics=false"
        raise InvalidConfig([Fault("--allow-metrics", f"{error.name} is missing", cure)]) from None
    return pages(sources, access, metrics.page, told.asked)


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
