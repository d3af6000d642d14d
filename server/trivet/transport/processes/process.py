"""One front-end process as the owner of the engines sees it: started, asked to end, noticed when
it is dead or hangs.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import pickle
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress

from trivet.clock import Clock
from trivet.errors import Fault, InvalidConfig
from trivet.frontend.method import Methods
from trivet.transport.companion import Companion
from trivet.transport.options import Options
from trivet.transport.processes import frames
from trivet.transport.processes.answering import Answering
from trivet.transport.processes.forwarding import names_of
from trivet.transport.processes.frames import Kind
from trivet.transport.processes.heartbeat import SILENT_S, Heartbeat
from trivet.transport.processes.link import RING_BYTES, Link
from trivet.transport.processes.output import Output
from trivet.transport.processes.ring import Damaged, Path, Reading, Writing

_MODULE = "trivet.transport.processes.child"


class Died(Exception):
    """It ended before it took connections."""


class Process:
    """Answers its calls from the start; `close` it in any case."""

    def __init__(
        self,
        methods: Methods,
        options: Options,
        clock: Clock,
        companion: Companion | None = None,
    ) -> None:
        """options: as the process shall listen. Raises OSError if there is none to be had."""
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.over = asyncio.Event()  # it has ended
        self.calls = 0  # answered
        self._is_ready = False
        self._ended_for = ""
        self._held = ExitStack()
        self._heartbeat = Heartbeat(clock, self._ask)
        self._watching: asyncio.Task[None] | None = None
        self._answering = Answering(methods, options.max_message_bytes, self._count, companion)
        try:
            self._start(methods, options, companion)
        except BaseException:
            self._held.close()
            raise

    @property
    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return self._is_ready and not self.over.is_set()

    @property
    def pid(self) -> int:
        return self._child.pid

    def stop(self) -> None:
        """Let it take leave of its callers, answer what they have asked, and end."""
        self._link.send(frames.bare(Kind.STOP))

    def end(self, why: str = "") -> None:
        """Kill it."""
        if not self.over.is_set():
            self._ended_for = self._ended_for or why
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Of one that has, e.g. "was killed by SIGKILL"."""
        status = self._child.returncode
        if self._ended_for:
            return f"was ended, since {self._ended_for}"
        if status is None or status >= 0:
            return f"ended by itself, with status {status}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"

    async def close(self) -> None:
        """End it if it has not, cancel what it had under way, and give back what it held."""
        try:
            self.end()
            await self.over.wait()
        finally:
            if not self.ready.done():
                self.ready.cancel()
            if self._watching is not None:
                self._watching.cancel()
            self._held.close()
            await self._answering.close()

    def _start(self, methods: Methods, options: Options, companion: Companion | None) -> None:
        loop, held = asyncio.get_running_loop(), self._held
        memory_fd = os.memfd_create("trivet")
        held.callback(os.close, memory_fd)
        os.ftruncate(memory_fd, 2 * RING_BYTES)
        memory = mmap.mmap(memory_fd, 2 * RING_BYTES)
        held.callback(memory.close)
        view = memoryview(memory)
        there, back = view[:RING_BYTES], view[RING_BYTES:]
        for each in (view, there, back):
            held.callback(each.release)
        eventfds = [_eventfd(held) for _ in range(4)]
        self._child = _started([memory_fd, *eventfds], options.listener)
        self._pidfd = os.pidfd_open(self._child.pid)
        held.callback(os.close, self._pidfd)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        held.enter_context(self._child.stdout)
        held.enter_context(suppress(OSError))  # it has ended, and did not read all
        held.enter_context(self._child.stdin)  # closed by the kernel, too, should we be killed
        self._output = Output(self._child.stdout.fileno(), self._child.pid)
        held.callback(self._output.close)
        loop.add_reader(self._pidfd, self._ended)
        held.callback(loop.remove_reader, self._pidfd)
        filled, freed, back_filled, back_freed = eventfds
        self._link = self._answering.link = Link(
            Writing(Path(there, filled, freed)),
            Reading(Path(back, back_filled, back_freed)),
            self._on_frame,
            self._damaged,
        )
        held.callback(self._link.close)
        front = companion.front if companion else None
        with suppress(BrokenPipeError):
            self._child.stdin.write(pickle.dumps((options, names_of(methods), front)))
            self._child.stdin.flush()
        if companion:
            held.callback(companion.subscribe(self._tell))

    def _on_frame(self, kind: int, number: int, data: bytes, at: int, end: int) -> None:
        if kind == Kind.READY:
            self._is_ready = True
            self._watching = asyncio.create_task(self._end_when_silent())
            if not self.ready.done():
                self.ready.set_result(None)
        elif kind == Kind.FAILED:
            if not self.ready.done():
                faults = [Fault(*fault) for fault in json.loads(data[at:end])]
                self.ready.set_exception(InvalidConfig(faults))
        elif kind == Kind.BEAT:
            self._heartbeat.answered()
        else:
            self._answering.on_frame(kind, number, data, at, end)

    def _ask(self) -> None:
        self._link.send(frames.bare(Kind.BEAT))

    async def _end_when_silent(self) -> None:
        await self._heartbeat.stops()
        self.end(f"it did not answer for {SILENT_S} s")

    def _tell(self, said: bytes) -> None:
        self._link.send(frames.bare(Kind.TOLD, body=said))

    def _count(self) -> None:
        self.calls += 1

    def _damaged(self, damaged: Damaged) -> None:
        self.end(f"it sent what cannot be read: {damaged}")

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._child.wait()
        self._link.read()  # what it wrote before
        self._output.close()
        self.over.set()
        if not self.ready.done():
            self.ready.set_exception(Died(self.how_it_ended()))


def _started(fds: list[int], listener: int | None) -> subprocess.Popen[bytes]:
    given = fds if listener is None else [*fds, listener]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, *map(str, fds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=given,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # a terminal's and a supervisor's signals are the owner's
    )


def _eventfd(held: ExitStack) -> int:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    held.callback(os.close, fd)
    return fd
