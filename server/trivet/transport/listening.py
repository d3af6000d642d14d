"""Sockets to listen on, and why an address cannot be listened on."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from trivet.errors import Fault, InvalidConfig
from trivet.transport.options import Options

_BACKLOG = 1024

_Endpoint = tuple[int, int, int, Any]  # family, kind, protocol, address


def endpoint(options: Options) -> _Endpoint:
    """Where to listen, as sockets take it. Raises OSError."""
    if options.socket_path is not None:
        return socket.AF_UNIX, socket.SOCK_STREAM, 0, str(options.socket_path)
    found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
    return found[0], found[1], found[2], found[4]


def listening(options: Options) -> socket.socket:
    """A socket that listens, with the options' kernel-side settings.

    Connections that it accepts inherit what finds peers that vanished.
    Raises InvalidConfig if the address cannot be listened on.
    """
    try:
        family, kind, protocol, address = endpoint(options)
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            if family != socket.AF_UNIX:
                _prepare(listener, options)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            stack.pop_all()
            return listener
    except (OSError, OverflowError) as error:
        raise InvalidConfig([cannot_listen(options, error)]) from None


def probed(options: Options) -> InvalidConfig:
    """Why the address cannot be listened on, for one whom its library does not tell."""
    try:
        family, kind, protocol, address = endpoint(options)
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.bind(address)
    except (OSError, OverflowError) as error:
        return InvalidConfig([cannot_listen(options, error)])
    return InvalidConfig([cannot_listen(options, None)])


def cannot_listen(options: Options, error: Exception | None) -> Fault:
    """error: what the system said; None where it said nothing."""
    why = "it cannot be listened on"
    if error is not None:
        why = (getattr(error, "strerror", None) or str(error)).lower()
    return Fault(
        options.address(),
        why,
        "stop what uses it, or choose another address or port (port 0 takes a free one)",
    )


def _prepare(listener: socket.socket, options: Options) -> None:
    """Set what has to be set before it listens; accepted connections inherit it (Linux)."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    idle_s = min(max(1, options.keepalive.time_ms // 1000), 32_767)  # the kernel's most
    wait_ms = options.keepalive.timeout_ms
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    listener.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, min(max(1, wait_ms // 2000), 32_767)
    )
    # A peer that is there, yet takes nothing of what is sent to it, is as good as gone.
    listener.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(idle_s * 1000 + wait_ms, 2**31 - 1)
    )
