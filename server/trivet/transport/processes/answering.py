"""The owner's side: the calls of one front-end process, answered by the table of methods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self

from trivet.errors import CallerLeft, ServeError
from trivet.frontend.method import (
    Accompanied,
    Answers,
    BidiStream,
    Method,
    Methods,
    Unary,
    UnaryHandler,
)
from trivet.frontend.refusal import refusal
from trivet.transport.companion import MAX_BESIDE_BYTES, Companion
from trivet.transport.processes import frames
from trivet.transport.processes.flow import Inbox, Pieces, Window
from trivet.transport.processes.frames import Kind, Value
from trivet.transport.processes.link import Link
from trivet.transport.processes.ring import Damaged

log = logging.getLogger("trivet.transport")

_CANCELLED_S = 1.0  # that a cancelled call may take to end; no process waits longer for it


class ForwardedCall:
    """One RPC in progress, whose caller is another process's; read only when asked for."""

    __slots__ = ("_metadata", "deadline_s", "peer", "trailers")

    def __init__(self, called: frames.Called) -> None:
        self._metadata = called.metadata
        self.deadline_s = called.deadline_s  # on the loop's clock
        self.peer = called.peer
        self.trailers: Sequence[tuple[str, Value]] = ()

    @property
    def metadata(self) -> Mapping[str, Value]:
        return frames.read_metadata(self._metadata)

    def header(self, name: str) -> Value | None:
        return frames.read_metadata(self._metadata).get(name)

    @property
    def time_left_s(self) -> float | None:
        if self.deadline_s is None:
            return None
        return max(0.0, self.deadline_s - asyncio.get_running_loop().time())

    def set_trailers(self, trailers: Sequence[tuple[str, Value]]) -> None:
        self.trailers = trailers


class _Live:
    """A call that is not over. task: None until its first message is whole."""

    __slots__ = ("beside", "call", "inbox", "method", "name", "pieces", "task", "window")

    def __init__(self, name: str, method: Method, call: ForwardedCall) -> None:
        self.name, self.method, self.call = name, method, call
        self.task: asyncio.Task[None] | None = None
        self.pieces: Pieces | None = None  # of the message that is coming
        self.beside = 0  # how many of its first bytes are a companion's
        self.inbox: Inbox | None = None
        self.window: Window | None = None


class Answering:
    """Answers what comes over one link, each call in a task of its own."""

    def __init__(
        self,
        methods: Methods,
        max_message_bytes: int,
        on_answered: Callable[[], None],
        companion: Companion | None = None,
    ) -> None:
        """max_message_bytes: no front end lets in more. on_answered: after each call."""
        self._companion = companion
        self._methods = list(methods.items())
        self._max_message_bytes = max_message_bytes
        self._on_answered = on_answered
        self._loop = asyncio.get_running_loop()
        self._live: dict[int, _Live] = {}
        self._leaving: set[asyncio.Task[None]] = set()  # cancelled, and not over yet
        self.link: Link  # is made of what is below, and set before anything comes

    def on_frame(self, kind: int, number: int, data: bytes, at: int, end: int) -> None:
        """Take a frame of the front end's. Raises Damaged for what none sends."""
        if kind == Kind.CALLED:
            self._begin(number, frames.read_called(data, at, end))
        elif live := self._live.get(number):
            self._go_on(kind, number, live, data, at, end)

    async def close(self) -> None:
        """The process is no more, or lets its callers go: cancel what it had under way."""
        tasks = {live.task for live in self._live.values() if live.task} | self._leaving
        self._live.clear()
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, running = await asyncio.wait(tasks, timeout=_CANCELLED_S)
        if running:
            log.error("calls_still_running", extra={"why": f"{len(running)} were cancelled"})

    def _begin(self, number: int, called: frames.Called) -> None:
        if number in self._live or called.method >= len(self._methods):
            raise Damaged(f"call {number} of method {called.method}")
        live = self._live[number] = _Live(*self._methods[called.method], ForwardedCall(called))
        if isinstance(live.method, BidiStream):
            live.inbox = Inbox()
            self._start(number, live, b"")
        else:
            self._arrive(number, live, called.size, called.beside, called.piece)

    def _go_on(self, kind: int, number: int, live: _Live, data: bytes, at: int, end: int) -> None:
        match kind:
            case Kind.PIECE if live.pieces is not None:
                message = live.pieces.add(data[at:end])
                if message is not None:
                    live.pieces = None
                    self._arrived(number, live, message)
            case Kind.MESSAGE if live.inbox is not None and live.pieces is None:
                self._arrive(number, live, *frames.read_message(data, at, end))
            case Kind.HALF_CLOSED if live.inbox is not None:
                live.inbox.end()
            case Kind.BROKEN if live.inbox is not None:
                live.inbox.end(frames.read_refused(data, at, end)[0])
            case Kind.TAKEN if live.window is not None:
                live.window.taken(frames.read_taken(data, at, end))
            case Kind.CANCELLED:
                self._cancel(number, live, late=frames.read_cancelled(data, at, end))
            case _:
                raise Damaged(f"a frame of kind {kind} in call {number}")

    def _arrive(self, number: int, live: _Live, size: int, beside: int, piece: bytes) -> None:
        if size - beside > self._max_message_bytes or beside > MAX_BESIDE_BYTES:
            raise Damaged(f"a message of {size} bytes, {beside} of them beside it")
        live.beside = beside
        if len(piece) == size:
            self._arrived(number, live, piece)
        else:
            live.pieces = Pieces(size, piece)

    def _arrived(self, number: int, live: _Live, message: bytes) -> None:
        if live.beside:
            message = self._accompanied(message, live.beside)
        if live.inbox is not None:
            live.inbox.put(message)
        else:
            self._start(number, live, message)

    def _accompanied(self, message: bytes, beside: int) -> bytes:
        if self._companion is None:
            raise Damaged(f"{beside} bytes beside a message")
        try:
            read = self._companion.read(message[:beside])
        except ValueError as fault:
            raise Damaged(f"beside a message: {fault}") from None
        return Accompanied.by(memoryview(message)[beside:], read, beside)

    def _start(self, number: int, live: _Live, message: bytes) -> None:
        answering: Coroutine[Any, Any, None]
        if isinstance(live.method, Unary):
            answering = self._unary(number, live, live.method.handler, message)
        else:
            live.window = Window()
            answering = self._stream(number, live, message, live.window)
        live.task = self._loop.create_task(answering)

    def _cancel(self, number: int, live: _Live, *, late: bool) -> None:
        del self._live[number]
        if late:  # the clocks of two libraries may differ by a moment
            live.call.deadline_s = self._loop.time()
        if live.task is not None and not live.task.done():
            self._leaving.add(live.task)  # a loop holds tasks only weakly
            live.task.add_done_callback(self._leaving.discard)
            live.task.cancel()

    async def _unary(self, number: int, live: _Live, handler: UnaryHandler, message: bytes) -> None:
        call = live.call
        try:
            answer = await handler(message, call)
            del message
            head = frames.answered(number, frames.pairs(call.trailers), len(answer))
            await self.link.send_message(number, head, answer)
        except asyncio.CancelledError:
            self._cut_off(number, live)
            raise
        except Exception as error:
            self._refuse(number, live, refusal(error, live.name))
        self._over(number)

    async def _stream(self, number: int, live: _Live, message: bytes, window: Window) -> None:
        try:
            async with aclosing(self._answers(number, live, message)) as answers:
                async for answer in answers:
                    if not window.is_open:
                        await window.opened()
                    window.sent(answer)
                    head = frames.message(number, len(answer))
                    await self.link.send_message(number, head, answer)
            self.link.send(frames.ended(number, frames.pairs(live.call.trailers)))
        except asyncio.CancelledError:
            self._cut_off(number, live)
            raise
        except Exception as error:
            self._refuse(number, live, refusal(error, live.name))
        self._over(number)

    def _answers(self, number: int, live: _Live, message: bytes) -> Answers:
        method = live.method
        assert not isinstance(method, Unary)
        if isinstance(method, BidiStream):
            assert live.inbox is not None
            return method.handler(_Messages(number, live.inbox, self.link), live.call)
        return method.handler(message, live.call)

    def _refuse(self, number: int, live: _Live, failure: ServeError) -> None:
        self.link.send(frames.refused(number, failure, frames.pairs(live.call.trailers)))

    def _cut_off(self, number: int, live: _Live) -> None:
        """The task was cancelled. Unless by the caller, who knows, he is told."""
        if number in self._live:
            self._refuse(number, live, CallerLeft("the server has ended this call"))
            self._over(number)

    def _over(self, number: int) -> None:
        if self._live.pop(number, None):
            self._on_answered()


class _Messages(AsyncIterator[bytes]):
    """What a caller sends; as much may follow as is taken."""

    __slots__ = ("_inbox", "_link", "_number")

    def __init__(self, number: int, inbox: Inbox, link: Link) -> None:
        self._number, self._inbox, self._link = number, inbox, link

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self._inbox.next()
        if message is None:
            raise StopAsyncIteration
        if told := self._inbox.used(message):
            self._link.send(frames.taken(self._number, told))
        return message
