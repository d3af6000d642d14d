"""Flags of the server as a whole."""

from __future__ import annotations

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import whole

FLAGS = (
    Flag(
        name="server-name",
        metavar="NAME",
        default="triton",
        aliases=("id",),
        help="what ServerMetadata answers; existing clients check for 'triton'"
        " (default: %(default)s)",
    ),
    Flag(
        name="exit-timeout-secs",
        metavar="SECONDS",
        parse=whole,
        default=30,
        help="how long accepted requests may take to finish on shutdown (default: %(default)s)",
    ),
    Flag(
        name="shutdown-delay-secs",
        metavar="SECONDS",
        parse=whole,
        default=0,
        help="how long to serve on after a signal to stop, while health says NOT_SERVING, so that"
        " balancers send new requests elsewhere first; --exit-timeout-secs begins after it"
        " (default: %(default)s)",
    ),
)
