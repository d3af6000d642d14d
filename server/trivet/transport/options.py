"""What an operator can set about the transport, as values."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path

DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20
DEFAULT_GRACE_S = 30.0

# What reaches a server that is shutting down is cancelled by grpc: without this pause, 29 to 46 of
# 48 callers who ask one request after the other lost one; with it, none.
DEFAULT_CLOSING_S = 0.1

UNIX = "unix:"  # begins a `host` that is the path of a Unix socket


class Transport(StrEnum):
    """What carries messages: the library that speaks HTTP/2."""

    GRPCIO = "grpcio"
    H2CORN = "h2corn"


class Compression(IntEnum):
    """How much answers are compressed, for callers who say that they can read it.

    Triton's levels, which are those of grpc: it takes gzip for the low one and deflate for the
    others, as long as the caller accepts both.
    """

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM; read again for new connections when they have changed.

    certificate: the server's, and after it those that lead to its root.
    key: the certificate's private key, not encrypted.
    root: certificates that clients' certificates must descend from.
    clients_must_show: one is asked of every client (mutual TLS); needs `root`.
    """

    certificate: Path
    key: Path
    root: Path | None = None
    clients_must_show: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """How peers that vanished are found, what pings are taken, and how long a connection lives.

    Times in milliseconds. None leaves it to grpc, where there is no limit.
    """

    # Find out within two and a half minutes that a peer has vanished without a word, or its calls
    # would hold what they hold for ever.
    time_ms: int = 120_000
    timeout_ms: int = 20_000
    permit_without_calls: bool = True
    max_pings_without_data: int = 2
    # Clients behind balancers ping this often; grpc's default of 5 minutes would cut them off.
    min_recv_ping_interval_without_data_ms: int = 10_000
    max_ping_strikes: int = 0  # pings that come too soon before the connection is ended; 0: any
    max_connection_age_ms: int | None = None
    max_connection_age_grace_ms: int | None = None


# A call's headers, names and values together: what grpc takes at most by default.
MAX_METADATA_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """gRPC-Web beside gRPC, so that browsers call without a proxy.

    origins: sites whose pages may call, as browsers write them; `*` among them: any site's.
    """

    origins: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to listen, and how much to take.

    host: a name or an address, or `unix:` and the path of a socket; then there is no port.
    port: 0 takes a free one.
    reuse_port: let other servers that say so too listen on the same port, and share its callers.
    max_message_bytes: a larger message is refused with RESOURCE_EXHAUSTED before it is read.
    max_concurrent_streams: calls under way on one connection; others wait. None: no limit.
    compression: of answers. Requests may come compressed, or not, whatever it says.
    grace_s: seconds that calls in flight have to end when the server stops; then they are cut off.
    closing_s: seconds that its door takes to close, during which calls wait in front of it.
    web: None: there is no gRPC-Web, and no HTTP/1.1.
    processes: that take connections; 1: this one alone.
    listener: the descriptor of a socket that listens already, for h2corn; None: one is made.
    """

    host: str = "127.0.0.1"
    port: int = 8001
    reuse_port: bool = False
    tls: Tls | None = None
    keepalive: Keepalive = field(default_factory=Keepalive)
    compression: Compression = Compression.NONE
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    max_concurrent_streams: int | None = None
    grace_s: float = DEFAULT_GRACE_S
    closing_s: float = DEFAULT_CLOSING_S
    transport: Transport = Transport.GRPCIO
    web: Web | None = None
    processes: int = 1
    listener: int | None = None

    @property
    def socket_path(self) -> Path | None:
        """The Unix socket; None for a network address."""
        return Path(self.host.removeprefix(UNIX)) if self.host.startswith(UNIX) else None

    def address(self, port: int | None = None) -> str:
        """As a client writes it. port: the real one, where a free one was taken."""
        if self.socket_path is not None:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port if port is None else port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.socket_path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name, which may be any address


def exposure(options: Options, *, tokens: bool) -> list[str]:
    """What is dangerous about who can reach it, each with its cure; networks are none if local.

    tokens: whether callers have to show one.
    """
    tls = options.tls
    known = tokens or bool(tls and tls.clients_must_show)
    says = []
    if options.web and "*" in options.web.origins and not known:
        says.append(
            "pages of any site may call everything through the browser of whoever opens them; name"
            " sites with --grpc-web-allow-origin, or ask for tokens with --token-file"
        )
    if options.is_local:
        return says
    if tls is None:
        says.append(
            "what is sent can be read and changed on its way; encrypt it with --grpc-use-ssl"
        )
    if not known:
        says.append(
            "whoever reaches this port may call everything;"
            " ask for tokens with --token-file, or for certificates with --grpc-use-ssl-mutual"
        )
    return says
