"""The order in which a server starts, and in reverse stops: the tour of the system."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from trivet.app.config import ServerConfig
from trivet.app.core import Core, core_of
from trivet.app.telling import telling
from trivet.clock import Clock
from trivet.errors import InvalidConfig
from trivet.frontend.access import Access, guarded
from trivet.frontend.access_tokens import TokenFile
from trivet.frontend.admission import Admission
from trivet.frontend.ahead.offering import offering
from trivet.frontend.counted import counted
from trivet.frontend.extras import Extras
from trivet.frontend.forwarding import HeaderForwarder
from trivet.frontend.method import Methods
from trivet.frontend.regions import Regions
from trivet.frontend.services import methods
from trivet.frontend.traced import traced
from trivet.repository.control import Control
from trivet.repository.registry import Registry
from trivet.status.sending import Sending
from trivet.telemetry.loop_watch import loop_watched
from trivet.transport.options import exposure
from trivet.transport.serving import serving

log = logging.getLogger(__name__)

# Seconds. An engine that is still busy by then computes for callers who were cut off already.
UNLOAD_S = 3.0


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
    core = core_of(config)
    await core.control.scan()
    access = _access(config, core.clock)
    async with AsyncExitStack() as stack:
        stack.enter_context(loop_watched(core.clock))
        told = await stack.enter_async_context(telling(config, core, access))
        stack.push_async_callback(_unload, core.control)
        stack.push_async_callback(told.sending.close)  # while there are models to tell of
        table = _table(config, core, access, told.sending)
        told.asked.update(table)
        ahead = None  # nobody is in front
        if config.grpc.processes > 1:
            ahead = await stack.enter_async_context(offering(core.registry))
        port = await stack.enter_async_context(serving(table, config.grpc, ahead))
        for danger in exposure(config.grpc, tokens=access.tokens is not None):
            address = config.grpc.address(port)
            log.warning("open_to_the_network", extra={"address": address, "danger": danger})
        stack.callback(core.draining.set)
        stack.callback(core.registry.leave)
        faults = await core.control.start(quiet=config.exit_on_error)
        if faults and config.exit_on_error:
            raise InvalidConfig(faults)
        core.started.set()
        watching = asyncio.create_task(core.control.watch())
        stack.callback(watching.cancel)
        stack.push_async_callback(_announce_leave, core.registry, config.shutdown_delay_s)
        yield App(port, core.registry, told.port)


def _table(config: ServerConfig, core: Core, access: Access, sending: Sending) -> Methods:
    """Every method: who may call it is asked first, and all that is refused counts.

    Raises InvalidConfig for a pattern of headers that is no regular expression.
    """
    table = methods(
        core.registry,
        draining=core.draining,
        server_name=config.server_name,
        extras=_extras(config, sending),
        control=core.control,
        vectors=core.vectors,
        admission=Admission(core.registry, config.admission),
    )
    return traced(counted(guarded(table, access), sending.calls), sending.spans)


def _extras(config: ServerConfig, sending: Sending) -> Extras:
    pattern = config.header_forward_pattern
    return Extras(
        regions=Regions(config.grpc.max_message_bytes) if config.allow_client_shm else None,
        forwarder=HeaderForwarder(pattern) if pattern else None,
        tracer=sending.tracer,
        log=config.log,
        limits=config.limits,
        calls=sending.calls,
    )


def _access(config: ServerConfig, clock: Clock) -> Access:
    """Raises InvalidConfig if the token file cannot be used."""
    tokens = TokenFile(config.token_file, clock) if config.token_file else None
    return Access(restrictions=config.restrictions, tokens=tokens)


async def _announce_leave(registry: Registry, delay_s: float) -> None:
    """Show as not ready, and serve on until those who send requests here have noticed."""
    registry.leave()
    await asyncio.sleep(delay_s)


async def _unload(control: Control) -> None:
    try:
        async with asyncio.timeout(UNLOAD_S):
            await control.close()
    except TimeoutError:
        log.warning("models_still_busy", extra={"waited_s": UNLOAD_S})
