"""h2corn inside our own event loop.

Its `Server` is made for that: it takes no signals, starts no processes and no loop. Its threads
only read and write; every call is a task of this loop.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h2corn

from trivet.frontend.method import Methods
from trivet.transport.h2corn.app import App
from trivet.transport.h2corn.renewal import renewing
from trivet.transport.h2corn.settings import config
from trivet.transport.listening import opened
from trivet.transport.options import Options

log = logging.getLogger("trivet.transport")


@asynccontextmanager
async def serving(methods: Methods, options: Options) -> AsyncIterator[int]:
    """Serve the methods until the block ends; gives the port, 0 for a Unix socket.

    At the end every call that has come is answered, for up to `grace_s` seconds; what lasts longer
    is cut off. Raises InvalidConfig if the address cannot be listened on, or the options ask for
    what h2corn cannot do.
    """
    app = App(methods, options)
    with opened(options) as listener:
        served = _serving if options.tls is None else renewing
        async with served(app, options, listener):
            yield 0 if options.socket_path is not None else listener.getsockname()[1]


@asynccontextmanager
async def _serving(app: App, options: Options, listener: socket.socket) -> AsyncIterator[None]:
    server = h2corn.Server(app, config(options, listener.fileno()))
    running = asyncio.create_task(server.serve())
    try:
        await server.wait_started()
        yield
    finally:
        await asyncio.sleep(options.closing_s)  # those on their way come in
        server.shutdown()
        # h2corn's own copy of it stays open until the last call has ended; callers would be
        # let in by the system, and wait.
        listener.shutdown(socket.SHUT_RDWR)
        await _ended(running)


async def _ended(running: asyncio.Task[None]) -> None:
    try:
        await running
    except RuntimeError as error:  # a call would not end even when it was cancelled
        log.error("calls_still_running", extra={"why": str(error)})
