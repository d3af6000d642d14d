"""A model's process as the server sees it: started, written to and read from, noticed when dead."""

from __future__ import annotations

import mmap
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path as File
from weakref import finalize

from trivet.errors import EngineFailed, InstanceDied
from trivet_backends.python.frames import Kind, Reader, Unreadable, Writer
from trivet_backends.python.output import Output
from trivet_backends.python.ring import Damaged, Path, Receiving, Sending

FLAGS = 4096  # requests of a batch whose callers' leaving can be told
_LOOK_EVERY_MS = 50  # how often it is asked whether callers have left
_BOOT = File(__file__).parent / "child" / "boot.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How processes of a model are started."""

    python: str  # the interpreter
    ring_bytes: int  # of each direction
    threads: int  # that numeric libraries may use
    finalize_s: float  # seconds that closing may take


class Process:
    """One process. Methods are called by the instance's own thread, or by who opens it, but for
    those that say they are for any thread.
    """

    def __init__(self, settings: Settings, told: Mapping[str, object]) -> None:
        """told: what each line of its output is logged with, and what `ps` shows of it. Raises
        EngineFailed if there is none to be had: no such interpreter, no more processes.
        """
        self._settings = settings
        self._waking = threading.Lock()
        self._on_look: Callable[[], None] | None = None
        self._on_wake: Callable[[], None] | None = None
        self._is_closed = False
        self._ended_for = ""  # why `end` was called
        held = ExitStack()
        try:
            self._begin(held, told)
        except OSError as error:
            held.close()
            raise EngineFailed(f"its process cannot be started: {error.strerror}") from error
        self._give_back = finalize(self, held.close)  # at the latest when the server ends

    def _begin(self, held: ExitStack, told: Mapping[str, object]) -> None:
        """held: gets all that is to be given back. Raises OSError."""
        ring = self._settings.ring_bytes
        memory, memory_fd = _shared_memory(held, 2 * ring + FLAGS)
        eventfds = [_eventfd(held) for _ in range(4)]
        self._wake = _eventfd(held)
        theirs, ours = os.pipe()  # ours is closed by the kernel, too, should the server be killed
        held.callback(os.close, ours)
        try:
            self._child = _started(self._settings, told, (theirs, memory_fd, *eventfds))
        finally:
            _close_all((theirs, memory_fd))
        self._output = Output(self._child, told)
        held.callback(self._output.close)
        held.callback(_end, self._child)  # before that: then its output ends
        self._pidfd = os.pidfd_open(self._child.pid)
        held.callback(os.close, self._pidfd)
        views = [memory[:ring], memory[ring : 2 * ring], memory[2 * ring :]]
        for view in views:
            held.callback(view.release)
        there, back, self._left = views
        filled, freed, back_filled, back_freed = eventfds
        self._sending = Sending(Path(there, filled, freed), self._wait)
        self._receiving = Receiving(Path(back, back_filled, back_freed), self._wait_or_serve)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        return not self._is_closed and not _is_readable(self._pidfd)

    @property
    def ended_fd(self) -> int:
        """Can be read once it has ended; valid until it is closed."""
        return self._pidfd

    def end(self, why: str) -> None:
        """Kill it, from any thread; whoever waits for it learns why. Closing it follows."""
        with self._waking:
            if not self._is_closed:
                self._ended_for = why
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Of one that has, from any thread: "ended by itself, with status 1"."""
        _end(self._child)
        status = self._child.returncode
        if self._ended_for:
            return f"was ended, since {self._ended_for}"
        if status >= 0:
            return f"ended by itself, with status {status}"
        if -status == signal.SIGKILL:  # what the kernel sends where memory ends
            return "was killed by SIGKILL, probably for want of memory"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"

    def send(self, message: Writer) -> None:
        """Raises InstanceDied."""
        self._sending.send(message.parts)

    def receive(self) -> Reader:
        """The next message. Raises InstanceDied."""
        try:
            return Reader(self._receiving.receive())
        except (Damaged, Unreadable, MemoryError) as error:
            raise self.damaged(str(error)) from error

    def damaged(self, what: str) -> InstanceDied:
        """The process sent what it cannot have meant; it is ended."""
        self._child.kill()
        return InstanceDied(f"its process sent what cannot be read ({what}) and was ended")

    def begin_watch(self, callers_left: Sequence[Callable[[], bool]]) -> None:
        """While it computes, tell it which of a batch's callers leave; from now on."""
        count = min(len(callers_left), FLAGS)
        self._left[:count] = bytes(count)

        def look() -> None:
            for place, has_left in enumerate(callers_left[:FLAGS]):
                if has_left():
                    self._left[place] = 1

        self._on_look = look

    def end_watch(self) -> None:
        self._on_look = None

    def look(self) -> None:
        """Ask the watched callers now."""
        if self._on_look is not None:
            self._on_look()

    def on_wake(self, do: Callable[[], None]) -> None:
        """What this end's thread does, between messages, after another thread called `wake`."""
        self._on_wake = do

    def wake(self) -> None:
        """From any thread; of a process that is closed it does nothing."""
        with self._waking:
            if not self._is_closed:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Let it finish, kill it if that takes too long. Calling it again does nothing."""
        if self._is_closed:
            return
        self._on_look = self._on_wake = None
        with suppress(InstanceDied):
            self.send(Writer(Kind.CLOSE))
            if not _is_readable(self._pidfd, self._settings.finalize_s):
                self._output.note(f"killed: closing took over {self._settings.finalize_s:g} s")
        self.kill()

    def kill(self) -> None:
        """End it and give back what it held."""
        if self._is_closed:
            return
        with self._waking:
            self._is_closed = True
        self._give_back()

    def _wait(self, eventfd: int) -> None:
        """Return when the eventfd can be read. Raises InstanceDied."""
        while eventfd not in self._ready(eventfd):
            self.look()

    def _wait_or_serve(self, eventfd: int) -> None:
        """The same between two messages, when something else may be written, too."""
        while eventfd not in (ready := self._ready(eventfd, self._wake)):
            if self._wake in ready:
                os.eventfd_read(self._wake)
                if self._on_wake is not None:
                    self._on_wake()
            self.look()

    def _ready(self, *eventfds: int) -> set[int]:
        """Those that can be read; empty when it is time to look. Raises InstanceDied."""
        poll = select.poll()
        for fd in (*eventfds, self._pidfd):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(_LOOK_EVERY_MS if self._on_look else None)}
        if ready == {self._pidfd}:  # what it wrote before is still read
            raise InstanceDied(f"its process {self.how_it_ended()}")
        return ready


def _started(
    settings: Settings, told: Mapping[str, object], given: Sequence[int]
) -> subprocess.Popen[bytes]:
    """given: descriptors of the lifeline and the memory, and the eventfds."""
    whose = " ".join(f"{name}={value}" for name, value in told.items())
    environment = {"OMP_NUM_THREADS": str(settings.threads), **os.environ}
    return subprocess.Popen(
        [settings.python, "-u", str(_BOOT), whose, str(settings.ring_bytes), *map(str, given)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=given,
        env=environment,
        start_new_session=True,  # Ctrl-C is the server's
    )


def _shared_memory(held: ExitStack, size: int) -> tuple[memoryview, int]:
    """Memory that has no name, and the descriptor to hand on, which is the caller's to close."""
    fd = os.memfd_create("trivet")
    try:
        os.ftruncate(fd, size)
        mapped = mmap.mmap(fd, size)
    except OSError:
        os.close(fd)
        raise
    held.callback(mapped.close)
    view = memoryview(mapped)
    held.callback(view.release)
    return view, fd


def _eventfd(held: ExitStack) -> int:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    held.callback(os.close, fd)
    return fd


def _end(child: subprocess.Popen[bytes]) -> None:
    """End it, and the processes that it started and left behind."""
    if child.returncode is None:  # else its number may be another's by now
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _is_readable(fd: int, timeout_s: float = 0) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(1000 * timeout_s))
