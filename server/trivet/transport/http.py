"""HTTP/1.1 and HTTP/2 for people and probes: h2corn runs an ASGI application in our own event loop.

The gRPC transports serve a table of methods and know no paths; this one serves an application and
knows no methods. It is a listener of its own, so that it outlives the other's door.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from trivet.errors import Fault, InvalidConfig
from trivet.transport.listening import listening
from trivet.transport.options import Options

log = logging.getLogger("trivet.transport")

# Seconds that an answer under way may still take at the end; what follows events ends by itself.
GRACE_S = 1.0
_MAX_BODY_BYTES = 1 << 20
_MAX_CONNECTIONS = 256  # a few scrapers and browsers; more is a mistake or malice

Application = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI: scope, receive, send


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Where to listen. port: 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8002

    @property
    def listener(self) -> Options:
        """The same, for whoever makes sockets."""
        return Options(host=self.host, port=self.port)


@asynccontextmanager
async def serving_http(application: Application, options: HttpOptions) -> AsyncIterator[int]:
    """Serve the application until the block ends; gives the port.

    Raises InvalidConfig if the address cannot be listened on, or h2corn is not installed.
    """
    try:
        import h2corn
    except ModuleNotFoundError as error:
        cure = "pip install 'trivet[server]', or serve with --allow-metrics=false"
        raise InvalidConfig([Fault("--allow-metrics", f"{error.name} is missing", cure)]) from None
    with _listener(options) as listener:
        config = h2corn.Config(
            bind=(f"fd://{listener.fileno()}",),
            lifespan="off",
            access_log=False,
            runtime_threads=1,
            limit_connections=_MAX_CONNECTIONS,
            max_request_body_size=_MAX_BODY_BYTES,
            timeout_graceful_shutdown=GRACE_S,
        )
        server = h2corn.Server(application, config)
        running = asyncio.create_task(server.serve())
        try:
            await server.wait_started()
            yield listener.getsockname()[1]
        finally:
            server.shutdown()
            listener.shutdown(socket.SHUT_RDWR)  # nobody is let in to wait
            await _ended(running)


def _listener(options: HttpOptions) -> socket.socket:
    try:
        return listening(options.listener)
    except InvalidConfig as error:
        (fault,) = error.faults
        cure = "stop what uses it, or choose another with --metrics-port (0 takes a free one)"
        raise InvalidConfig([Fault(f"metrics: {fault.where}", fault.what, cure)]) from None


async def _ended(running: asyncio.Task[None]) -> None:
    try:
        await running
    except RuntimeError as error:  # an answer would not end even when it was cancelled
        log.error("pages_still_read", extra={"why": str(error)})
