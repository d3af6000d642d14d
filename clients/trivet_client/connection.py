"""How a client reaches its server: address, limits, headers and deadlines."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc

from trivet_client.errors import TrivetError, error_of, invalid
from trivet_client.security import Tls, bearer

ADDRESS = "127.0.0.1:8001"
TIMEOUT_S = 60.0  # of a unary call that names none; streams have none of their own
READY_POLL_S = 0.05  # between two questions whether the server is ready

Headers = Mapping[str, str | bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where to, and what every call carries."""

    address: str
    timeout_s: float
    metadata: tuple[tuple[str, str | bytes], ...]
    max_receive_bytes: int  # of one message; -1: no limit
    credentials: grpc.ChannelCredentials | None  # None: unencrypted
    server_name: str | None  # what the server's certificate says, if it is not the address

    def timeout(self, own_s: float | None) -> float | None:
        """Seconds a unary call may take: its own timeout, else the client's; None for infinity."""
        return finite(self.timeout_s if own_s is None else own_s)

    def options(self) -> Sequence[tuple[str, int | str]]:
        """Channel arguments of grpc."""
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", self.max_receive_bytes),
            ("grpc.max_send_message_length", -1),  # the server knows its own limit
            # A server that is just starting is found a tenth of a second after it listens, instead
            # of after grpc's one to several seconds.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            # In spite of its name: how long a connection may take, TLS included.
            ("grpc.min_reconnect_backoff_ms", 10_000),
        ]
        if is_loopback(self.address):
            # grpc would send even this through the proxy of the environment, which cannot know it.
            options.append(("grpc.enable_http_proxy", 0))
        if self.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        return options


def connection(
    address: str,
    timeout_s: float,
    metadata: Headers | None,
    max_receive_bytes: int,
    credentials: grpc.ChannelCredentials | None,
    tls: Tls | None,
    token: str | None,
) -> Connection:
    """The arguments of a client, put together. Raises InvalidArgument if they do not agree."""
    if tls is not None and credentials is not None:
        raise invalid("tls and credentials both say how to encrypt; give one of the two")
    headers = [*(metadata or {}).items()]
    if token is not None:
        headers.append(bearer(token))
    return Connection(
        address=address,
        timeout_s=timeout_s,
        metadata=tuple(headers),
        max_receive_bytes=max_receive_bytes,
        credentials=tls.credentials() if tls else credentials,
        server_name=tls.server_name if tls else None,
    )


def finite(timeout_s: float | None) -> float | None:
    """grpc's spelling of a timeout: None where there is no end to it."""
    return None if timeout_s is None or math.isinf(timeout_s) else timeout_s


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT is this machine, as far as the name tells."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def not_ready_in_time(address: str, timeout_s: float) -> TrivetError:
    return error_of(
        grpc.StatusCode.DEADLINE_EXCEEDED, f"{address} was not ready within {timeout_s:g} s"
    )
