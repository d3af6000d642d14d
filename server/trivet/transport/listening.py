"""Sockets to listen on, and why an address cannot be listened on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from trivet.errors import Fault, InvalidConfig
from trivet.transport.options import Options
from trivet.transport.unix_socket import check_socket

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


@contextlib.contextmanager
def opened(options: Options) -> Iterator[socket.socket]:
    """A socket that listens; what it leaves in the file system is removed.

    Raises InvalidConfig if the address cannot be listened on, or another server does.
    """
    path = options.socket_path
    if options.listener is not None:  # another process made it, and removes what there is
        with socket.fromfd(options.listener, socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            yield listener
        return
    if path is None:
        with listening(options) as listener:
            yield listener
        return
    check_socket(path)
    path.unlink(missing_ok=True)  # what a dead server left
    with listening(options) as listener:
        made = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == made:
                    path.unlink()


@contextlib.contextmanager
def shared(options: Options) -> Iterator[Options]:
    """The options with which several processes of ours may listen side by side.

    A port is kept by a socket that is bound and does not listen; each process opens its own beside
    it. Of a Unix socket there can be one, which they inherit.
    Raises InvalidConfig if the address cannot be listened on, or another server does.
    """
    if options.socket_path is not None:
        with opened(options) as listener:
            yield replace(options, processes=1, listener=listener.fileno())
        return
    if not options.reuse_port:
        listening(options).close()  # shared with our own alone: whoever else listens is in the way
    with _kept(options) as kept:
        yield replace(options, processes=1, port=kept.getsockname()[1], reuse_port=True)


def _kept(options: Options) -> socket.socket:
    try:
        family, kind, protocol, address = endpoint(options)
        with contextlib.ExitStack() as stack:
            kept = stack.enter_context(socket.socket(family, kind, protocol))
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            kept.bind(address)
            stack.pop_all()
            return kept
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
