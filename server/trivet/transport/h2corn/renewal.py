"""Certificates that are renewed while h2corn serves, which reads them once.

A server with the renewed files begins to take connections from the same socket; then the one before
it takes leave. Callers come again when they are told to go (GOAWAY), and calls that are under way
end in their own time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import h2corn

from trivet.transport.certificates import WatchedFiles
from trivet.transport.h2corn.app import CUT_OFF, App
from trivet.transport.h2corn.settings import config
from trivet.transport.options import Options

if TYPE_CHECKING:
    from h2corn import Receive, Scope, Send

log = logging.getLogger("trivet.transport")

LOOK_S = 1.0  # between looks at the files

_CUT_OFF_S = 1.0  # for callers to be told

# What a server that takes leave gives its calls; the last stop of all cuts them off itself.
_UNHURRIED_S = 365 * 86_400.0


@asynccontextmanager
async def renewing(app: App, options: Options, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on the socket with TLS until the block ends; renewed files are taken in `LOOK_S`.

    Raises InvalidConfig if the files cannot be used at the start. Files that are broken later
    leave what there was.
    """
    assert options.tls is not None
    files = WatchedFiles(options.tls)
    await asyncio.to_thread(files.first)
    generations = _Generations(app, options, listener)
    watching: asyncio.Task[None] | None = None
    try:
        await generations.begin()
        watching = asyncio.create_task(_watch(files, generations))
        yield
    finally:
        await asyncio.sleep(options.closing_s)  # calls on their way come in
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        generations.retire()
        listener.shutdown(socket.SHUT_RDWR)  # nobody is let in to wait
        await generations.ended(options.grace_s)


async def _watch(files: WatchedFiles, generations: _Generations) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        if await asyncio.to_thread(files.changed) is not None:
            try:
                await generations.renew()
            except Exception as error:  # they changed again while h2corn read them
                log.error("certificate_not_renewed", extra={"why": str(error)})


class _Generations:
    """Servers on one socket, each with the files of its time; only the last takes connections."""

    def __init__(self, app: App, options: Options, listener: socket.socket) -> None:
        self._calls = _Calls(app)
        self._config = config(replace(options, grace_s=_UNHURRIED_S), listener.fileno())
        self._latest: h2corn.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """A server takes connections, beside another that still does."""
        server = h2corn.Server(self._calls, self._config)
        running = asyncio.create_task(server.serve())
        self._running.add(running)
        running.add_done_callback(self._over)
        await server.wait_started()
        self._latest = server

    def _over(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        if not running.cancelled() and (error := running.exception()) is not None:
            log.error("h2corn_failed", extra={"why": str(error)})

    async def renew(self) -> None:
        """A new server takes the place of the latest."""
        former = self._latest
        await self.begin()
        if former is not None:
            former.shutdown()

    def retire(self) -> None:
        """No connection is taken any more, and those there are told to go."""
        if self._latest is not None:
            self._latest.shutdown()

    async def ended(self, grace_s: float) -> None:
        """Wait until all calls are over. Those that last longer than `grace_s` are cut off."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        self._calls.cut_off()
        if self._running:
            await asyncio.wait(self._running, timeout=_CUT_OFF_S)
        if self._running:  # a call would not end, or its caller does not read that it has
            log.error("calls_still_running", extra={"servers": len(self._running)})


class _Calls:
    """An application that knows its calls under way, so that they can be cut off."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._app(scope, receive, send)
        finally:
            self._tasks.discard(task)

    def cut_off(self) -> None:
        """End them with UNAVAILABLE, and with them the connections that wait for them."""
        for task in self._tasks:
            task.cancel(CUT_OFF)
