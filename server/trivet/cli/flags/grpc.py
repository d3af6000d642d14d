"""Flags of the gRPC endpoint."""

from __future__ import annotations

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import port, positive

FLAGS = (
    Flag(
        name="grpc-address",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only)",
    ),
    Flag(
        name="grpc-port",
        metavar="PORT",
        parse=port,
        default=8001,
        help="port to listen on; 0 takes a free one and prints it (default: %(default)s)",
    ),
    Flag(
        name="grpc-max-message-bytes",
        metavar="BYTES",
        parse=positive,
        default=64 << 20,
        help="largest message taken or sent; a larger one is refused with RESOURCE_EXHAUSTED"
        " (default: %(default)s, 64 MiB)",
    ),
)
