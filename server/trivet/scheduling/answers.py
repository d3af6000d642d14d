"""The answers to one request of a decoupled model, on their way from its instance to its caller."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from trivet.backend.contract import Answer
from trivet.clock import Clock
from trivet.errors import CallerLeft, ServeError

# Answers of one request that may be unread: enough that an instance need not wait for each wake-up
# of the loop, few enough that nobody can make the server hold much.
UNREAD = 16


@dataclass(frozen=True, slots=True)
class Sent:
    """One answer, and how long the instance took for it: waiting for its reader left out."""

    answer: Answer
    final: bool
    compute_ns: int


class AnswerBuffer:
    """Implements `trivet.backend.contract.Sender` for the instance; the loop reads and closes."""

    def __init__(self, clock: Clock, size: int = UNREAD) -> None:
        """size: answers that may be unread before `send` blocks."""
        self._clock = clock
        self._size = size
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(size)
        self._unread: deque[Sent] = deque()
        self._changed, self._full = asyncio.Event(), asyncio.Event()
        self._over = self._final = self._were_sent = False
        self._error: ServeError | None = None
        self._resumed_ns = clock.now_ns()  # when the instance could begin with the next answer
        self._blocked_since_ns: int | None = None

    # The instance's side: any thread.

    def send(self, answer: Answer, *, final: bool = False) -> None:
        if not isinstance(answer, Answer):
            raise TypeError(f"the backend sent a {type(answer).__name__} for an answer")
        if self._final:
            raise RuntimeError("the backend sent an answer after the final one")
        compute_ns = self._clock.now_ns() - self._resumed_ns
        self._wait_for_room()
        self._final, self._were_sent = final, True
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(self._append, Sent(answer, final, compute_ns))
        self._resumed_ns = self._clock.now_ns()

    def is_cancelled(self) -> bool:
        return self._over

    def _wait_for_room(self) -> None:
        self._blocked_since_ns = self._clock.now_ns()
        self._room.acquire()
        self._blocked_since_ns = None
        if self._over:
            self._room.release()  # for another thread that waits here
            raise CallerLeft("nobody waits for this request's answers any more")

    # The server's side: the event loop.

    def begin(self) -> None:
        """The instance begins to compute now."""
        self._resumed_ns = self._clock.now_ns()

    async def read(self) -> AsyncGenerator[Sent, None]:
        """The answers as they come, until the buffer is closed. Raises what it was closed with."""
        while True:
            while self._unread:
                sent = self._unread.popleft()
                self._full.clear()
                self._room.release()
                yield sent
            if self._over:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._error:
            raise self._error

    def close(self, error: ServeError | None = None) -> None:
        """Nothing more is sent, and a thread that waits in `send` is freed. The first call counts.

        error: what the reader is told after the answers sent so far.
        """
        if self._over:
            return
        self._over, self._error = True, error
        self._room.release()
        self._changed.set()

    @property
    def were_sent(self) -> bool:
        """Whether there was any answer."""
        return self._were_sent

    @property
    def final_was_sent(self) -> bool:
        return self._final

    @property
    def since_last_ns(self) -> int:
        """How long ago the last answer was sent, or the instance began."""
        return self._clock.now_ns() - self._resumed_ns

    @property
    def blocked_ns(self) -> int:
        """How long the instance has been waiting for the reader."""
        since_ns = self._blocked_since_ns
        return 0 if since_ns is None else self._clock.now_ns() - since_ns

    def computing_since_ns(self) -> int | None:
        """When the instance began with the answer it computes; None while it waits for the reader.

        To be read while another thread sends: each value is one of before or after.
        """
        return None if self._blocked_since_ns is not None else self._resumed_ns

    async def wait_full(self) -> None:
        """Return when as much is unread as may be."""
        await self._full.wait()

    def _append(self, sent: Sent) -> None:
        self._unread.append(sent)
        if len(self._unread) >= self._size:
            self._full.set()
        self._changed.set()
