"""Whether callers over HTTP/1.1 are still there.

HTTP/2 tells that a call was reset. Over HTTP/1.1 a browser that gives up hangs up, and h2corn,
which does not read while it owes an answer, learns that from the next thing it sends: a page that
watched something quiet, and was closed, would be waited for for ever. The kernel knows; so a call
that takes long is looked after there. It costs a shorter one a timer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import select
import socket
from pathlib import Path
from typing import Any

HUNG_UP = "the caller has hung up"  # the message of a cancellation from here

LOOK_S = 1.0  # seconds between two looks, and before the first

Peer = tuple[str, int]  # address and port

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Presence:
    """Looks after the callers of one server."""

    def __init__(self, look_s: float = LOOK_S) -> None:
        """look_s: seconds between two looks."""
        self._look_s = look_s
        self._seen: dict[Peer, int] = {}  # descriptors, of which any may be another's by now

    def cancel_when_gone(self, call: asyncio.Task[Any], peer: Peer) -> None:
        """Cancel a call when its caller has hung up. peer: whose connection it came over."""
        watching = asyncio.get_running_loop().create_task(self._watch(call, peer))
        call.add_done_callback(lambda _: watching.cancel())

    async def _watch(self, call: asyncio.Task[Any], peer: Peer) -> None:
        await asyncio.sleep(self._look_s)
        # A connection that was reset has no peer any more: it is not found.
        if connection := self._connection((_plain(peer[0]), peer[1])):
            with connection:
                while not has_gone(connection):
                    await asyncio.sleep(self._look_s)
        call.cancel(HUNG_UP)

    def _connection(self, peer: Peer) -> socket.socket | None:
        """A handle of its own on the connection; None if there is none."""
        return self._known(peer) or self._found(peer)

    def _found(self, peer: Peer) -> socket.socket | None:
        self._seen = _seen()
        return self._known(peer)

    def _known(self, peer: Peer) -> socket.socket | None:
        descriptor = self._seen.get(peer)
        connection = None if descriptor is None else _opened(descriptor)
        if connection is None or _peer_of(connection) == peer:
            return connection
        connection.close()
        return None


def has_gone(connection: socket.socket) -> bool:
    """Whether its peer has hung up."""
    poll = select.poll()
    poll.register(connection, _GONE)
    return bool(poll.poll(0))


def _seen() -> dict[Peer, int]:
    """The connections of this process, by their peers."""
    found: dict[Peer, int] = {}
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        if connection := _opened(descriptor):
            with connection:
                if peer := _peer_of(connection):
                    found[peer] = descriptor
    return found


def _opened(descriptor: int) -> socket.socket | None:
    try:
        own = os.dup(descriptor)
    except OSError:
        return None  # it is closed by now
    try:
        return socket.socket(fileno=own)
    except OSError:
        os.close(own)
        return None  # no socket


def _peer_of(connection: socket.socket) -> Peer | None:
    """None for what is no connection over a network."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host, port, *_ = connection.getpeername()
    except OSError:
        return None  # it listens, or is over
    return _plain(host), port


def _plain(host: str) -> str:
    """An address as everybody writes it who means the same."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)
