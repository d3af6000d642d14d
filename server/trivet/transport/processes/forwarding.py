"""The front end's side: a table of methods, each of which asks the owner of the engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from itertools import count
from typing import Any

from trivet.errors import InvalidInput, ServeError
from trivet.frontend.method import (
    Answers,
    BidiStream,
    Call,
    Method,
    Methods,
    ServerStream,
    Unary,
    UnaryHandler,
)
from trivet.frontend.refusal import refusal
from trivet.transport.companion import MAX_BESIDE_BYTES, Front, Prepare
from trivet.transport.processes import frames
from trivet.transport.processes.flow import Inbox, Pieces, Window
from trivet.transport.processes.frames import Kind, Trailers
from trivet.transport.processes.link import Link
from trivet.transport.processes.ring import Damaged


class Shape(Enum):
    """How many messages a method takes and gives."""

    UNARY = "unary"
    SERVER_STREAM = "server_stream"
    BIDI_STREAM = "bidi_stream"


Names = Sequence[tuple[str, Shape]]  # in the order of the owner's table


def names_of(methods: Methods) -> Names:
    """What a front end has to know of the methods."""
    return [(name, _shape(method)) for name, method in methods.items()]


def _shape(method: Method) -> Shape:
    match method:
        case Unary():
            return Shape.UNARY
        case ServerStream():
            return Shape.SERVER_STREAM
        case BidiStream():
            return Shape.BIDI_STREAM


class _One:
    """A call with one answer."""

    __slots__ = ("answer", "pieces", "trailers")

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.pieces: Pieces | None = None
        self.trailers: Trailers = ()

    def arrived(self, message: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(message)

    def ended(self, trailers: Trailers, failure: ServeError | None) -> None:
        self.trailers = trailers
        if failure is not None and not self.answer.done():
            self.answer.set_exception(failure)


class _Many:
    """A stream."""

    __slots__ = ("inbox", "pieces", "trailers", "window")

    def __init__(self) -> None:
        self.inbox, self.window = Inbox(), Window()
        self.pieces: Pieces | None = None
        self.trailers: Trailers = ()

    def arrived(self, message: bytes) -> None:
        self.inbox.put(message)

    def ended(self, trailers: Trailers, failure: ServeError | None) -> None:
        self.trailers = trailers
        self.inbox.end(failure)


class Forwarding:
    """Asks the owner over one link."""

    def __init__(self, front: Front | None = None) -> None:
        """front: looks at messages before they are sent on."""
        self._front = front
        self._asked: dict[int, _One | _Many] = {}
        self._numbers = count(1)
        self.link: Link  # set before anything is asked

    def methods(self, names: Names) -> Methods:
        """The table for a transport to serve."""
        return {name: self._method(place, name, shape) for place, (name, shape) in enumerate(names)}

    def on_frame(self, kind: int, number: int, data: bytes, at: int, end: int) -> None:
        """Take a frame of the owner's. Raises Damaged for what it does not send."""
        asked = self._asked.get(number)
        if asked is None:
            return  # cancelled meanwhile
        match kind:
            case Kind.ANSWERED:
                asked.trailers, size, piece = frames.read_answered(data, at, end)
                _arrive(asked, size, piece)
            case Kind.MESSAGE:
                size, _, piece = frames.read_message(data, at, end)
                _arrive(asked, size, piece)
            case Kind.PIECE if asked.pieces is not None:
                message = asked.pieces.add(data[at:end])
                if message is not None:
                    asked.pieces = None
                    asked.arrived(message)
            case Kind.TAKEN if isinstance(asked, _Many):
                asked.window.taken(frames.read_taken(data, at, end))
            case Kind.ENDED:
                asked.ended(frames.read_pairs(data, at, end), None)
            case Kind.REFUSED:
                failure, trailers = frames.read_refused(data, at, end)
                asked.ended(trailers, failure)
            case _:
                raise Damaged(f"a frame of kind {kind} in call {number}")

    def _method(self, place: int, name: str, shape: Shape) -> Method:
        prepare = self._front.preparing(name) if self._front else None
        match shape:
            case Shape.UNARY:
                return Unary(self._unary(place, prepare))
            case Shape.SERVER_STREAM:
                return ServerStream(self._server_stream(place))
            case Shape.BIDI_STREAM:
                return BidiStream(self._bidi_stream(place, name, prepare))

    def _unary(self, place: int, prepare: Prepare | None) -> UnaryHandler:
        async def answer(message: bytes, call: Call) -> bytes:
            number, one = next(self._numbers), _One()
            self._asked[number] = one
            try:
                beside = b"" if prepare is None else await _prepared(prepare, message)
                await self._begin(number, place, message, call, beside)
                del message
                return await one.answer
            except asyncio.CancelledError:
                self._cancel(number, call)
                raise
            finally:
                del self._asked[number]
                if one.trailers:
                    call.set_trailers(one.trailers)

        return answer

    def _server_stream(self, place: int) -> Any:
        async def answers(message: bytes, call: Call) -> Answers:
            number, many = next(self._numbers), _Many()
            self._asked[number] = many
            try:
                await self._begin(number, place, message, call)
                while (answer := await many.inbox.next()) is not None:
                    yield answer
                    self._used(number, many, answer)
            finally:
                self._over(number, many, call)

        return answers

    def _bidi_stream(self, place: int, name: str, prepare: Prepare | None) -> Any:
        async def answers(messages: AsyncIterator[bytes], call: Call) -> Answers:
            number, many = next(self._numbers), _Many()
            self._asked[number] = many
            reading: asyncio.Task[None] | None = None
            try:
                await self._begin(number, place, b"", call)
                forwarding = self._forward(number, name, messages, many.window, prepare)
                reading = asyncio.create_task(forwarding)
                while (answer := await many.inbox.next()) is not None:
                    yield answer
                    self._used(number, many, answer)
            finally:
                self._over(number, many, call)
                if reading is not None:
                    reading.cancel()
                    await asyncio.wait((reading,))

        return answers

    async def _begin(
        self, number: int, place: int, message: bytes, call: Call, beside: bytes = b""
    ) -> None:
        left_s = call.time_left_s
        deadline_s = None if left_s is None else asyncio.get_running_loop().time() + left_s
        try:
            metadata = frames.metadata_of(call.metadata)
        except InvalidInput as error:  # only who reads it may refuse the call for that
            metadata = frames.unreadable(error)
        whole = beside + message if beside else message
        head = frames.called(
            number, place, deadline_s, call.peer, metadata, len(whole), len(beside)
        )
        await self.link.send_message(number, head, whole)

    async def _forward(
        self,
        number: int,
        name: str,
        messages: AsyncIterator[bytes],
        window: Window,
        prepare: Prepare | None,
    ) -> None:
        """Send the owner what the caller sends, as fast as it is taken there."""
        try:
            async for message in messages:
                beside = b"" if prepare is None else await _prepared(prepare, message)
                whole = beside + message if beside else message
                if not window.is_open:
                    await window.opened()
                window.sent(whole)
                head = frames.message(number, len(whole), len(beside))
                await self.link.send_message(number, head, whole)
            self.link.send(frames.bare(Kind.HALF_CLOSED, number))
        except Exception as error:
            failure = refusal(error, name)
            self.link.send(frames.refused(number, failure, kind=Kind.BROKEN))

    def _used(self, number: int, many: _Many, answer: bytes) -> None:
        if told := many.inbox.used(answer):
            self.link.send(frames.taken(number, told))

    def _over(self, number: int, many: _Many, call: Call) -> None:
        del self._asked[number]
        if many.trailers:
            call.set_trailers(many.trailers)
        if not many.inbox.has_ended:
            self._cancel(number, call)

    def _cancel(self, number: int, call: Call) -> None:
        self.link.send(frames.cancelled(number, late=call.time_left_s == 0))


async def _prepared(prepare: Prepare, message: bytes) -> bytes:
    beside = prepare(message)
    if not isinstance(beside, bytes):
        beside = await beside
    return beside if len(beside) <= MAX_BESIDE_BYTES else b""


def _arrive(asked: _One | _Many, size: int, piece: bytes) -> None:
    if len(piece) == size:
        asked.arrived(piece)
    else:
        asked.pieces = Pieces(size, piece)
