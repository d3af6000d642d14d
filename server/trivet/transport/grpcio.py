"""The default transport: grpcio's asyncio server, fed with bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NoReturn

import grpc
from grpc import aio

from trivet.errors import Code, ServeError
from trivet.frontend.method import (
    Answers,
    BidiStream,
    Method,
    Methods,
    ServerStream,
    Unary,
    UnaryHandler,
)
from trivet.frontend.refusal import refusal
from trivet.frontend.status_details import STATUS_DETAILS, status_details
from trivet.transport.arguments import channel_arguments
from trivet.transport.freed import Freed
from trivet.transport.listening import probed
from trivet.transport.options import Options
from trivet.transport.texts import bounded, unknown_method
from trivet.transport.tls import credentials
from trivet.transport.unix_socket import check_socket

_STATUS = {Code(status.value[0]): status for status in grpc.StatusCode}

Context = aio.ServicerContext[bytes, bytes]


@asynccontextmanager
async def serving(methods: Methods, options: Options) -> AsyncIterator[int]:
    """Serve the methods until the block ends; gives the port.

    At the end every call that has come is answered, for up to `grace_s` seconds; what lasts longer
    is cut off. Raises InvalidConfig if the address cannot be listened on.
    """
    server = aio.server(options=list(channel_arguments(options).items()))
    door = asyncio.Event()  # set: calls go in; else they wait in front of it
    door.set()
    freed = Freed()
    server.add_generic_rpc_handlers((_Handlers(freed.watching(methods), door),))
    port = _listen(server, options)
    await server.start()
    try:
        yield port
    finally:
        await _stop(server, door, options)
        freed.close()


def _listen(server: aio.Server, options: Options) -> int:
    """The port; of a Unix socket there is none, and it is 0."""
    secret = credentials(options.tls) if options.tls else None
    if options.socket_path is not None:
        check_socket(options.socket_path)
    try:
        address = options.address()
        port = (
            server.add_secure_port(address, secret) if secret else server.add_insecure_port(address)
        )
    except RuntimeError:
        raise probed(options) from None
    return 0 if options.socket_path is not None else port


async def _stop(server: aio.Server, door: asyncio.Event, options: Options) -> None:
    """Take leave of the callers without dropping a call.

    Calls that come while the door closes wait in front of it, so that soon none is on its way.
    Then the callers are told to go elsewhere, and only then are those that wait let in.
    """
    door.clear()
    await asyncio.sleep(options.closing_s)
    stopping = asyncio.create_task(server.stop(options.grace_s))
    await asyncio.sleep(0)  # the first thing it does is to tell the callers
    door.set()
    await stopping


class GrpcioCall:
    """One RPC in progress; everything is looked up only when asked for."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        return dict(self._context.invocation_metadata() or ())

    def header(self, name: str) -> str | bytes | None:
        found = None
        for key, value in self._context.invocation_metadata() or ():
            if key == name:
                found = value
        return found

    @property
    def time_left_s(self) -> float | None:
        return self._context.time_remaining()

    @property
    def peer(self) -> str:
        return self._context.peer()

    def set_trailers(self, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        self._context.set_trailing_metadata(tuple(trailers))


class _Handlers(grpc.GenericRpcHandler):
    """grpc's way to ask who answers a method."""

    def __init__(self, methods: Methods, door: asyncio.Event) -> None:
        self._handlers = {name: _handler(name, method, door) for name, method in methods.items()}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return self._handlers.get(details.method) or _unknown(details.method)


def _handler(name: str, method: Method, door: asyncio.Event) -> grpc.RpcMethodHandler[bytes, bytes]:
    """The grpc handler of one method. Without (de)serializers grpc hands out and takes bytes."""
    match method:
        case Unary(handler):
            return grpc.unary_unary_rpc_method_handler(_unary(name, handler, door))
        case ServerStream(handler):
            return grpc.unary_stream_rpc_method_handler(_streaming(name, handler, door))
        case BidiStream(handler):
            return grpc.stream_stream_rpc_method_handler(_streaming(name, handler, door))


def _unary(
    name: str, handler: UnaryHandler, door: asyncio.Event
) -> Callable[[bytes, Context], Coroutine[Any, Any, bytes]]:
    async def answer(message: bytes, context: Context) -> bytes:
        await door.wait()
        try:
            return await handler(message, GrpcioCall(context))
        except Exception as error:
            refused = refusal(error, name)
        del message  # grpc keeps this frame, with the exception that ends the call
        return await _abort(context, refused)

    return answer


def _streaming(
    name: str, handler: Callable[[Any, GrpcioCall], Answers], door: asyncio.Event
) -> Callable[[Any, Context], Coroutine[Any, Any, None]]:
    async def answer(asked: Any, context: Context) -> None:
        # Written by hand rather than yielded: grpc would leave the generator of a call that ended
        # early to the garbage collector.
        await door.wait()
        try:
            async with aclosing(handler(asked, GrpcioCall(context))) as answers:
                async for message in answers:
                    await _write(context, message)
            return
        except Exception as error:
            refused = refusal(error, name)
        await _abort(context, refused)

    return answer


def _unknown(name: str) -> grpc.RpcMethodHandler[bytes, bytes]:
    async def refuse(_: Any, context: Context) -> None:
        await _abort(context, unknown_method(name))

    return grpc.stream_stream_rpc_method_handler(refuse)


async def _write(context: Context, message: bytes) -> None:
    try:
        await context.write(message)
    except aio.BaseError:
        # The caller has left, and grpc's own cancellation of this task is still on its way.
        raise asyncio.CancelledError from None


async def _abort(context: Context, error: ServeError) -> NoReturn:
    # Else frames, and in them the request, would live in a cycle until garbage is collected.
    error.__traceback__ = error.__context__ = None
    details = status_details(error)
    trailers = tuple(context.trailing_metadata() or ())  # abort would put its own in their place
    if details:
        trailers = (*trailers, (STATUS_DETAILS, details))
    try:
        await context.abort(_STATUS[error.code], bounded(error.message), trailers)
    except aio.AbortError:
        raise
    except aio.BaseError:  # the caller has left meanwhile: there is nobody to tell
        raise asyncio.CancelledError from None
