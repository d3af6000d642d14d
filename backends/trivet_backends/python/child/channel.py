"""The child's end of the wire: messages out from any thread, messages in to whoever waits."""

from __future__ import annotations

import mmap
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from trivet_backends.python.frames import Kind, Reader, Writer
from trivet_backends.python.ring import Path, Receiving, Sending


class Channel:
    """Two rings in one shared memory, and a flag per request that says whether its caller left."""

    def __init__(self, memory_fd: int, ring_bytes: int, eventfds: Sequence[int]) -> None:
        """eventfds: filled and freed of the ring to the child, then of the one to the server."""
        for fd in (memory_fd, *eventfds):
            os.set_inheritable(fd, False)  # not for processes that the model starts
        memory = memoryview(mmap.mmap(memory_fd, 0))
        os.close(memory_fd)
        incoming = Path(memory[:ring_bytes], eventfds[0], eventfds[1])
        outgoing = Path(memory[ring_bytes : 2 * ring_bytes], eventfds[2], eventfds[3])
        self._left = memory[2 * ring_bytes :]
        self._receiving, self._sending = Receiving(incoming, _wait), Sending(outgoing, _wait)
        self._writing = threading.Lock()
        self._turn = threading.Condition()
        self._reads = False  # whether some thread reads just now, for all
        self._work: deque[Reader] = deque()
        self._results: dict[int, Reader] = {}
        self._calls = 0

    def send(self, message: Writer) -> None:
        with self._writing:
            self._sending.send(message.parts)

    def next_work(self) -> Reader:
        """The next message that is no result of a call. For the main thread."""
        return self._await(self._work.popleft)

    def call(self, message: Writer, number: int) -> Reader:
        """Send a call that bears this number, and wait for its result. From any thread."""
        self.send(message)
        return self._await(lambda: self._results.pop(number))

    def next_call(self) -> int:
        """A number for a call that no other has."""
        with self._turn:
            self._calls += 1
            return self._calls

    def has_left(self, place: int) -> bool:
        """Whether the caller of the batch's request at this place has left."""
        return place < len(self._left) and self._left[place] != 0

    def _await(self, take: Callable[[], Reader]) -> Reader:
        """What `take` finds, read by this thread or by one that reads already."""
        with self._turn:
            while True:
                with suppress(LookupError):
                    return take()
                if self._reads:
                    self._turn.wait()
                    continue
                self._reads = True
                self._turn.release()
                try:
                    message = Reader(self._receiving.receive())
                finally:
                    self._turn.acquire()
                    self._reads = False
                    self._turn.notify_all()
                self._sort(message)

    def _sort(self, message: Reader) -> None:
        if message.kind is Kind.RESULT:
            self._results[message.number()] = message
        else:
            self._work.append(message)


def end_with_the_server(lifeline: int) -> None:
    """End this process when the server's end of a pipe is closed, however the server ended."""
    os.set_inheritable(lifeline, False)

    def watch() -> None:
        _wait(lifeline)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _wait(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()
