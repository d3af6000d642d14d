"""Servers that are far away, or busy: a connection may take a while, and is made all the same."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.unit.client.fake_server import FakeServer

AWAY_S = 0.4  # until the server's first bytes come; a handshake of TLS over an ocean takes as long


@contextmanager
def far_away(address: str) -> Iterator[str]:
    """An address behind which the server's first bytes of each connection come late."""
    host, _, port = address.rpartition(":")
    door = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, sink: socket.socket, away_s: float) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(away_s)
                away_s = 0
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def let_in() -> None:
        with suppress(OSError):
            while True:
                near = door.accept()[0]
                far = socket.create_connection((host, int(port)))
                for source, sink, away_s in ((near, far, 0), (far, near, AWAY_S)):
                    passing = threading.Thread(target=pass_on, args=(source, sink, away_s))
                    passing.daemon = True
                    passing.start()

    threading.Thread(target=let_in, daemon=True).start()
    try:
        yield f"127.0.0.1:{door.getsockname()[1]}"
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()


def test_the_first_call_to_a_server_far_away_is_answered(
    connect: Callable[..., Any], server: FakeServer
) -> None:
    with far_away(server.address) as address:
        assert connect(address).server_live() is True
