"""gRPC as an ASGI application. h2corn runs one task for each call; there are no others.

It cancels that task when the caller resets the call or its connection is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from trivet.errors import CallerLeft, DeadlineExceeded, ServeError, Unavailable
from trivet.frontend.method import BidiStream, Method, Methods, ServerStream, Unary
from trivet.frontend.refusal import refusal
from trivet.transport.h2corn import metadata
from trivet.transport.h2corn.answer import Answer
from trivet.transport.h2corn.base64 import decoding
from trivet.transport.h2corn.body import Messages
from trivet.transport.h2corn.call import H2cornCall
from trivet.transport.h2corn.compression import IDENTITY, check_encoding, encoding_for
from trivet.transport.h2corn.gone import Gone
from trivet.transport.h2corn.presence import HUNG_UP, Presence
from trivet.transport.h2corn.web import Reply, judged
from trivet.transport.h2corn.web_answer import WebAnswer
from trivet.transport.h2corn.web_body import WebMessages
from trivet.transport.options import Compression, Options
from trivet.transport.texts import unknown_method

if TYPE_CHECKING:
    from h2corn import HTTPScope, Receive, Scope, Send

_GRPC = b"application/grpc"
_HELLO = "this is a gRPC server: POST application/grpc"
_LATE = "Deadline Exceeded"
_NO_TRAILERS = "the header 'te: trailers' is missing, without which there is no status to send"
# The message of a cancellation by which a stop ends what outlasts its grace: its caller is there.
CUT_OFF = "cut off"
# Answers a call, whatever becomes of it.
_Answering = Callable[[Messages, H2cornCall, Answer], Awaitable[None]]


class App:
    """Serves a table of methods."""

    def __init__(self, methods: Methods, options: Options) -> None:
        # By their paths as they were sent. Read as a URL is, with %XX for letters, a path would say
        # something else here than to a proxy in front, which may have let it through for that.
        self._answering = {
            name.encode(): _answering(name, method) for name, method in methods.items()
        }
        self._max_message_bytes = options.max_message_bytes
        self._compression = options.compression
        self._web = options.web
        self._presence = Presence()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # before it is accepted: that is refused
            return
        with suppress(Gone):
            await self._call(scope, receive, send)

    async def _call(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        encoding = headers.get(b"grpc-encoding", IDENTITY)
        fault = _fault(scope["method"], headers.get(b"content-type", b""))
        if fault or scope["http_version"] != "2":
            opened = await self._opened(fault, scope, headers, receive, send)
            if opened is None:
                return
            messages, answer = opened
        else:
            messages = Messages(receive, encoding, self._max_message_bytes)
            accepted = headers.get(b"grpc-accept-encoding", b"")
            answer = Answer(send, encoding_for(self._compression, accepted))
            if b"te" not in headers:  # h2corn would send none, and tell of a failure of ours
                await answer.refuse(ServeError(_NO_TRAILERS))
                return
        try:
            metadata.check_size(scope["headers"])
            answering = self._answering.get(scope["raw_path"])
            if answering is None or scope["query_string"]:
                raise unknown_method(_asked(scope))
            check_encoding(encoding)
            call = _call(scope, headers)
            if call.time_left_s == 0:  # a method that need not wait would be answered all the same
                raise DeadlineExceeded(_LATE)
        except ServeError as error:
            await answer.refuse(error)
            return
        try:
            if call.deadline_s is None:
                await answering(messages, call, answer)
                return
            async with asyncio.timeout_at(call.deadline_s):
                await answering(messages, call, answer)
        except TimeoutError:
            await answer.refuse(DeadlineExceeded(_LATE), call.trailers)
        except asyncio.CancelledError as cancelled:
            if CUT_OFF in cancelled.args:
                await answer.refuse(Unavailable("the server is shutting down"), call.trailers)
                return
            if HUNG_UP not in cancelled.args:
                raise  # h2corn knows
            await answer.refuse(CallerLeft(HUNG_UP))  # nobody hears it, but the answer has an end

    async def _opened(
        self,
        fault: int,
        scope: HTTPScope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> tuple[Messages, Answer] | None:
        """What is not gRPC over HTTP/2: a browser's call, or none, which is answered here."""
        if self._web is None:
            await _reply(send, Reply(fault, _HELLO, [(b"allow", b"POST")]))
            return None
        web = judged(scope["method"], headers, self._web.origins)
        if isinstance(web, Reply):
            await _reply(send, web)
            return None
        if scope["http_version"] != "2" and (peer := scope.get("client")):
            self._presence.cancel_when_gone(_this_task(), peer)
        encoding = headers.get(b"grpc-encoding", IDENTITY)
        packing = encoding_for(self._compression, headers.get(b"grpc-accept-encoding", b""))
        compresses = self._compression is not Compression.NONE
        reading = decoding(receive) if web.text else receive
        messages = WebMessages(reading, encoding, self._max_message_bytes)
        return messages, WebAnswer(send, packing, web, gzip=compresses)


def _asked(scope: HTTPScope) -> str:
    """The path as it was sent, with what follows a question mark."""
    query = scope["query_string"]
    return (scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")


def _call(scope: HTTPScope, headers: dict[bytes, bytes]) -> H2cornCall:
    """Raises ServeError for a time that cannot be read."""
    timeout = headers.get(b"grpc-timeout")
    if timeout is None:
        return H2cornCall(scope, headers, None)
    now_s = asyncio.get_running_loop().time()
    return H2cornCall(scope, headers, now_s + metadata.seconds(timeout))


def _answering(name: str, method: Method) -> _Answering:
    """A coroutine function that raises nothing but what ends the task."""
    match method:
        case Unary(handler):

            async def answer_one(messages: Messages, call: H2cornCall, answer: Answer) -> None:
                try:
                    message = await handler(await messages.one(), call)
                except Exception as error:
                    await answer.refuse(refusal(error, name), call.trailers)
                    return
                await answer.only(message, call.trailers)

            return answer_one
        case ServerStream() | BidiStream():
            return _streaming(name, method)


def _streaming(name: str, method: ServerStream | BidiStream) -> _Answering:
    async def answer_many(messages: Messages, call: H2cornCall, answer: Answer) -> None:
        try:
            if isinstance(method, BidiStream):
                answers = method.handler(messages, call)
            else:
                answers = method.handler(await messages.one(), call)
            async with aclosing(answers):
                async for message in answers:
                    await answer.write(message)
        except Exception as error:
            await answer.refuse(refusal(error, name), call.trailers)
            return
        await answer.finish(call.trailers)

    return answer_many


def _fault(method: str, content_type: bytes) -> int:
    """The HTTP status of what is no call of gRPC at all; 0 for one."""
    if method != "POST":
        return 405
    if content_type == _GRPC:
        return 0
    kind = content_type.partition(b";")[0].strip().lower()
    return 0 if kind in (_GRPC, _GRPC + b"+proto") else 415


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "h2corn runs a task for each call"
    return task


async def _reply(send: Send, reply: Reply) -> None:
    body = f"{reply.text}\n".encode() if reply.text else b""
    headers = [(b"content-type", b"text/plain"), *reply.headers] if body else reply.headers
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
