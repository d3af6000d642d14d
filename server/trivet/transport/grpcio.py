"""The default transport: grpcio's asyncio server, fed with bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from grpc import aio

from trivet.errors import Code, Fault, InvalidConfig, ServeError, Unimplemented
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

DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20
DEFAULT_GRACE_S = 30.0

# A status text travels in the trailers, of which a peer takes 8 KiB by default, all names and
# values together. As sent: percent-encoded.
MAX_DETAILS_BYTES = 6 * 1024

_STATUS = {Code(status.value[0]): status for status in grpc.StatusCode}
_ELLIPSIS = "…"

_SETTINGS: Mapping[str, int] = {
    # A second server on the same port has to fail, not to take half of the connections.
    "grpc.so_reuseport": 0,
    # What a client may receive is for its own settings to bound.
    "grpc.max_send_message_length": -1,
    # Find out within two and a half minutes that a peer has vanished without a word, or its calls
    # would hold what they hold for ever.
    "grpc.keepalive_time_ms": 120_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
    # Clients behind balancers ping this often; grpc's default of 5 minutes would cut them off.
    "grpc.http2.min_ping_interval_without_data_ms": 10_000,
    "grpc.http2.max_ping_strikes": 0,
}

Context = aio.ServicerContext[bytes, bytes]

# What reaches a server that is shutting down is cancelled by grpc: without this pause, 29 to 46 of
# 48 callers who ask one request after the other lost one; with it, none.
DEFAULT_CLOSING_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to listen, and how much to take.

    port: 0 takes a free one.
    max_message_bytes: a larger message is refused with RESOURCE_EXHAUSTED before it is read.
    grace_s: seconds that calls in flight have to end when the server stops; then they are cut off.
    closing_s: seconds that its door takes to close, during which calls wait in front of it.
    """

    host: str = "127.0.0.1"
    port: int = 8001
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    grace_s: float = DEFAULT_GRACE_S
    closing_s: float = DEFAULT_CLOSING_S


@asynccontextmanager
async def serving(methods: Methods, options: Options) -> AsyncIterator[int]:
    """Serve the methods until the block ends; gives the port.

    At the end every call that has come is answered, for up to `grace_s` seconds; what lasts longer
    is cut off. Raises InvalidConfig if the address cannot be listened on.
    """
    settings = {"grpc.max_receive_message_length": options.max_message_bytes, **_SETTINGS}
    server = aio.server(options=list(settings.items()))
    door = asyncio.Event()  # set: calls go in; else they wait in front of it
    door.set()
    server.add_generic_rpc_handlers((_Handlers(methods, door),))
    try:
        port = server.add_insecure_port(_address(options.host, options.port))
    except RuntimeError:
        raise InvalidConfig([_cannot_listen(options)]) from None
    await server.start()
    try:
        yield port
    finally:
        await _stop(server, door, options)


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
            await _abort(context, refusal(error, name))

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
        except Exception as error:
            await _abort(context, refusal(error, name))

    return answer


def _unknown(name: str) -> grpc.RpcMethodHandler[bytes, bytes]:
    async def refuse(_: Any, context: Context) -> None:
        await _abort(
            context,
            Unimplemented(f"unknown method {name}; this server's reflection lists those there are"),
        )

    return grpc.stream_stream_rpc_method_handler(refuse)


async def _write(context: Context, message: bytes) -> None:
    try:
        await context.write(message)
    except aio.BaseError:
        # The caller has left, and grpc's own cancellation of this task is still on its way.
        raise asyncio.CancelledError from None


async def _abort(context: Context, error: ServeError) -> NoReturn:
    try:
        await context.abort(_STATUS[error.code], bounded(error.message))
    except aio.AbortError:
        raise
    except aio.BaseError:  # the caller has left meanwhile: there is nobody to tell
        raise asyncio.CancelledError from None


def bounded(text: str) -> str:
    """A text that fits into the trailers: whole, or cut and ended with "…"."""
    text = text.encode("utf-8", "replace").decode()
    if 3 * 4 * len(text) <= MAX_DETAILS_BYTES:  # if every character took 4 bytes, each as %XX
        return text
    sent = _encoded_bytes(_ELLIPSIS)
    for place, character in enumerate(text):
        sent += _encoded_bytes(character)
        if sent > MAX_DETAILS_BYTES:
            return text[:place] + _ELLIPSIS
    return text


def _encoded_bytes(character: str) -> int:
    return 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cannot_listen(options: Options) -> Fault:
    """grpc says only that it failed; the system says why."""
    why = "it cannot be listened on"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM
        )[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.bind(address)
    except (OSError, OverflowError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
    return Fault(
        _address(options.host, options.port),
        why,
        "stop what uses it, or choose another address or port (port 0 takes a free one)",
    )
