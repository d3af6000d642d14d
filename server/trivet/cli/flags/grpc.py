"""Flags of the gRPC endpoint: where it listens, and how much it takes and sends."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean, port, positive_setting, setting
from trivet.transport.options import Compression, Options, Transport

_OPTIONS = Options()


def compression(text: str) -> Compression:
    """A level by its name."""
    try:
        return Compression[text.upper()]
    except KeyError:
        names = ", ".join(level.name.lower() for level in Compression)
        raise argparse.ArgumentTypeError(f"'{text}' is no level; give one of {names}") from None


def transport(text: str) -> Transport:
    """A transport by its name."""
    try:
        return Transport(text)
    except ValueError:
        names = " or ".join(Transport)
        raise argparse.ArgumentTypeError(f"'{text}' is no transport; give {names}") from None


FLAGS = (
    Flag(
        name="allow-grpc",
        metavar="true|false",
        parse=boolean,
        default=True,
        help="serve gRPC (default: true); false is refused, since there is no other protocol here",
    ),
    Flag(
        name="transport",
        metavar="|".join(Transport),
        parse=transport,
        default=_OPTIONS.transport,
        help="the library that speaks HTTP/2: grpcio, or h2corn, which takes a fraction of the CPU"
        " per call, and knows neither connection age nor ping"
        " strikes (default: %(default)s)",
    ),
    Flag(
        name="frontend-processes",
        metavar="N",
        parse=positive_setting,
        default=_OPTIONS.processes,
        help="processes that take connections and hand on to the one with the models what they are"
        " asked; several take the transport's cost off it, which pays on machines with many cores"
        " (default: %(default)s, all in one process)",
    ),
    Flag(
        name="grpc-address",
        metavar="ADDRESS",
        default=_OPTIONS.host,
        help="address to listen on, or unix:/PATH for a Unix socket, which has no port"
        " (default: %(default)s, this machine only)",
    ),
    Flag(
        name="grpc-port",
        metavar="PORT",
        parse=port,
        default=_OPTIONS.port,
        help="port to listen on; 0 takes a free one and prints it (default: %(default)s)",
    ),
    Flag(
        name="reuse-grpc-port",
        metavar="true|false",
        parse=boolean,
        default=_OPTIONS.reuse_port,
        help="let other servers that say so too listen on the same port and share its callers"
        " (default: false)",
    ),
    Flag(
        name="grpc-max-message-bytes",
        metavar="BYTES",
        parse=positive_setting,
        default=_OPTIONS.max_message_bytes,
        help="largest message taken; a larger one is refused with RESOURCE_EXHAUSTED"
        " (default: %(default)s, 64 MiB)",
    ),
    Flag(
        name="grpc-max-concurrent-streams",
        metavar="N",
        parse=positive_setting,
        help="calls under way on one connection; more wait at the caller's end (default: no limit)",
    ),
    Flag(
        name="grpc-infer-response-compression-level",
        metavar="none|low|medium|high",
        parse=compression,
        default=Compression.NONE,
        help="compress answers to callers who accept it: low with gzip, medium and high with"
        " deflate (default: none). Compressed requests are always taken",
    ),
    Flag(
        name="grpc-keepalive-time",
        metavar="MS",
        parse=positive_setting,
        default=_OPTIONS.keepalive.time_ms,
        help="milliseconds without a word after which the peer is asked whether it is still there"
        " (default: %(default)s)",
    ),
    Flag(
        name="grpc-keepalive-timeout",
        metavar="MS",
        parse=positive_setting,
        default=_OPTIONS.keepalive.timeout_ms,
        help="milliseconds it has to answer before its connection is closed (default: %(default)s)",
    ),
    Flag(
        name="grpc-keepalive-permit-without-calls",
        metavar="true|false",
        parse=boolean,
        default=_OPTIONS.keepalive.permit_without_calls,
        help="ask peers without calls, too (default: true)",
    ),
    Flag(
        name="grpc-http2-max-pings-without-data",
        metavar="N",
        parse=setting,
        default=_OPTIONS.keepalive.max_pings_without_data,
        help="pings sent while there is no data to send; 0 means any number (default: %(default)s)",
    ),
    Flag(
        name="grpc-http2-min-recv-ping-interval-without-data",
        metavar="MS",
        parse=setting,
        default=_OPTIONS.keepalive.min_recv_ping_interval_without_data_ms,
        help="a peer's ping that comes sooner after its last one counts as a strike"
        " (default: %(default)s milliseconds)",
    ),
    Flag(
        name="grpc-http2-max-ping-strikes",
        metavar="N",
        parse=setting,
        default=_OPTIONS.keepalive.max_ping_strikes,
        help="strikes before the connection is closed; 0 means any number (default: %(default)s)",
    ),
    Flag(
        name="grpc-max-connection-age",
        metavar="MS",
        parse=setting,
        default=0,
        help="milliseconds after which a client is told to connect again, so that balancers can"
        " spread it; 0 means never (default: %(default)s)",
    ),
    Flag(
        name="grpc-max-connection-age-grace",
        metavar="MS",
        parse=setting,
        default=0,
        help="milliseconds that calls have to end after that; 0 means any (default: %(default)s)",
    ),
)
