"""Serving by several processes: started and ended together, each replaced if it dies or hangs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trivet.clock import Clock, SystemClock
from trivet.errors import Fault, InvalidConfig
from trivet.frontend.method import Methods
from trivet.scheduling.supervision import pause_ns
from trivet.transport.companion import Companion
from trivet.transport.listening import shared
from trivet.transport.options import Options, Transport
from trivet.transport.processes.process import Died, Process

log = logging.getLogger("trivet.transport")

_START_S = 60.0  # seconds in which a process has to take connections; mostly it takes 0.3
_MARGIN_S = 2.0  # that one may need beyond the grace of its calls before it is killed


@asynccontextmanager
async def serving(
    methods: Methods,
    options: Options,
    companion: Companion | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[int]:
    """Serve the methods by `options.processes` until the block ends; gives the port, or 0.

    clock: says when one of them hangs; None: the system's.

    Raises InvalidConfig as a transport in this process would, and for what cannot be shared.
    """
    if options.socket_path is not None and options.transport is Transport.GRPCIO:
        what = "grpcio cannot share a Unix socket among processes"
        cure = "serve with --transport h2corn, on a port, or with one process"
        raise InvalidConfig([Fault("--frontend-processes", what, cure)])
    with shared(options) as theirs:
        posts = [
            _Post(methods, theirs, companion, clock or SystemClock())
            for _ in range(options.processes)
        ]
        try:
            await asyncio.gather(*(post.begin() for post in posts))
            yield theirs.port if options.socket_path is None else 0
        finally:
            # One after the other: callers of one come to the next, whose door must not be closing
            # just then, since grpc cancels what reaches a server that is.
            apart_s = 2 * options.closing_s
            await asyncio.gather(*(post.leave(place * apart_s) for place, post in enumerate(posts)))


class _Post:
    """The place of one process: there is one, or another will be made."""

    def __init__(
        self, methods: Methods, options: Options, companion: Companion | None, clock: Clock
    ) -> None:
        self._companion = companion
        self._methods = methods
        self._options = options
        self._clock = clock
        self._process: Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Raises InvalidConfig if it cannot serve."""
        try:
            process = await self._start()
        except (OSError, Died) as error:
            what = f"a process that takes connections did not start: it {error}"
            cure = "see the log, or serve with one process"
            raise InvalidConfig([Fault("--frontend-processes", what, cure)]) from None
        self._keeping = asyncio.create_task(self._keep(process))

    async def leave(self, after_s: float) -> None:
        """Let it take leave then, and answer what was asked within the options' grace."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait((self._keeping,))
        process = self._process
        if process is None:
            return
        if process.is_serving:
            await asyncio.sleep(after_s)
            process.stop()
            within_s = self._options.closing_s + self._options.grace_s + _MARGIN_S
            try:
                await asyncio.wait_for(process.over.wait(), within_s)
            except TimeoutError:
                extra = {"frontend_process": process.pid, "waited_s": within_s}
                log.error("frontend_process_does_not_end", extra=extra)
        await process.close()

    async def _start(self) -> Process:
        """Raises InvalidConfig, OSError or Died."""
        process = self._process = Process(
            self._methods, self._options, self._clock, self._companion
        )
        try:
            async with asyncio.timeout(_START_S):
                await process.ready
        except TimeoutError:
            await process.close()
            raise Died(f"does not take any after {_START_S:g} s") from None
        except (InvalidConfig, Died):
            await process.close()
            raise
        return process

    async def _keep(self, process: Process) -> None:
        """Replace it whenever it has ended."""
        failures = 0  # in a row, with no call answered in between
        while True:
            await process.over.wait()
            failures = 0 if process.calls else failures
            log.error(
                "frontend_process_ended",
                extra={
                    "frontend_process": process.pid,
                    "why": f"it {process.how_it_ended()}",
                    "pause_s": pause_ns(failures) / 1e9,
                },
            )
            await process.close()
            process, failures = await self._replacement(failures)

    async def _replacement(self, failures: int) -> tuple[Process, int]:
        """Another process, and the failures until then; tried until there is one."""
        while True:
            await asyncio.sleep(pause_ns(failures) / 1e9)
            failures += 1
            try:
                process = await self._start()
            except (InvalidConfig, OSError, Died) as error:
                log.error("frontend_process_not_replaced", extra={"why": str(error)})
            else:
                log.info("frontend_process_replaced", extra={"frontend_process": process.pid})
                return process, failures
