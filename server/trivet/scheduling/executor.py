"""One thread, which owns one instance; the event loop hands it work and awaits the outcome."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from trivet.errors import InstanceDied

P = ParamSpec("P")
T = TypeVar("T")

# Of the threads that compute, and of those that engines start in them. They would keep all cores
# from the event loop for milliseconds; a machine's other services do not feel it, since niceness
# counts within a service's own control group.
_NICE = 10

_Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Executor:
    """Runs one call at a time in a thread of its own.

    Not a ThreadPoolExecutor: a put and a call_soon_threadsafe per batch cost 2 us per request in
    batches of 32, where run_in_executor per request costs 47.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._pending: set[asyncio.Future[Any]] = set()  # of calls whose outcome is awaited
        self._died: InstanceDied | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve_or_tell, name=name, daemon=True)
        self._thread.start()

    @property
    def is_abandoned(self) -> bool:
        """Whether the thread was given up; it may still be at work, but nobody hears of it."""
        return self._died is not None

    @property
    def is_running(self) -> bool:
        """Whether the thread has not ended yet."""
        return self._thread.is_alive()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in the thread; returns or raises what the call does.

        What the event loop would take for a word to itself (SystemExit, CancelledError,
        StopIteration) is raised as the cause of a RuntimeError. Raises InstanceDied if the thread
        is given up, or was before.
        """
        if self._died is not None:
            raise InstanceDied(self._died.message, idle=True)
        outcome: asyncio.Future[T] = self._loop.create_future()
        self._pending.add(outcome)
        self._work.put((lambda: function(*args, **kwargs), outcome))
        try:
            return await outcome
        finally:
            self._pending.discard(outcome)

    def abandon(self, died: InstanceDied) -> None:
        """Give the thread up, whatever it does, and tell whoever waits for it; from the event loop.

        For an instance that hangs. A result that comes later reaches nobody. It is still to be
        retired or closed.
        """
        if self._died is not None:
            return
        self._died = died
        for outcome in self._pending:
            _settle(outcome, None, died)

    def retire(self, last: Callable[[], None]) -> None:
        """Let the thread do this and end. Nobody waits for it, nor hears of it."""
        outcome: asyncio.Future[None] = self._loop.create_future()
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._work.put((last, outcome))
        self._work.put(None)

    async def end(self, last: Callable[[], None]) -> None:
        """Let the thread do this and end, and wait for it, unless it is given up.

        Raises what `last` raises, InstanceDied if the thread is given up meanwhile.
        """
        if self.is_abandoned:
            self.retire(last)
            return
        try:
            await self.run(last)
        finally:
            await self.close(0 if self.is_abandoned else None)

    async def close(self, timeout_s: float | None = None) -> None:
        """End the thread when what it was given is done.

        timeout_s: seconds to wait for that; None: as long as it takes.
        """
        self._work.put(None)
        await asyncio.to_thread(self._thread.join, timeout_s)

    def _serve_or_tell(self) -> None:
        """Serve; should the thread itself fail, whoever waits for it learns of it."""
        if sys.platform == "linux":  # elsewhere it would be the whole process
            os.nice(_NICE)
        try:
            self._serve()
        except BaseException as error:
            died = InstanceDied(f"the instance's thread failed ({type(error).__name__})")
            with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
                self._loop.call_soon_threadsafe(self.abandon, died)
            self._serve()  # what is left to do is to close the instance

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            function, outcome = work
            try:
                result = function()
            except BaseException as error:
                self._settle(outcome, None, _harmless(error))
            else:
                self._settle(outcome, result, None)
            # A result kept in a local would live until the next call: a batch's worth of arrays.
            del work, function, outcome
            result = None

    def _settle(
        self, outcome: asyncio.Future[Any], result: object, error: Exception | None
    ) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(_settle, outcome, result, error)


def run_here(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call in this thread, with the same care for what is raised as `Executor.run`."""
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        raise _harmless(error) from error


def _harmless(error: BaseException) -> Exception:
    """An error that a future can carry and that ends neither its awaiter nor the event loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"{type(error).__name__} was raised in the instance's thread")
    wrapped.__cause__ = error
    return wrapped


def _settle(outcome: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if outcome.done():
        return
    if error is None:
        outcome.set_result(result)
    else:
        outcome.set_exception(error)
