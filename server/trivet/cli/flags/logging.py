"""Flags of the log."""

from __future__ import annotations

from trivet.cli.flags.flag import Flag

FLAGS = (
    Flag(
        name="log-verbose",
        metavar="LEVEL",
        parse=int,
        default=0,
        help="above 0, log what the server decides, too (default: %(default)s)",
    ),
)
