"""Flags of the log."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean


def log_format(text: str) -> str:
    """One of Triton's names of a format, or json."""
    if text not in {"default", "ISO8601", "json"}:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no log format; give default, ISO8601 or json"
        )
    return text


def _switch(level: str) -> Flag:
    return Flag(
        name=f"log-{level}",
        metavar="true|false",
        parse=boolean,
        default=True,
        help=f"log events of level {level.upper()} (default: true)",
    )


FLAGS = (
    Flag(
        name="log-verbose",
        metavar="LEVEL",
        parse=int,
        default=0,
        help="above 0, log what the server decides, too (default: %(default)s)",
    ),
    _switch("info"),
    _switch("warning"),
    _switch("error"),
    Flag(
        name="log-format",
        metavar="default|ISO8601|json",
        parse=log_format,
        default="default",
        help="how a line looks: for people with local time (default) or UTC (ISO8601), or as JSON"
        " (json); one about a traced request names trace_id and span_id (default: %(default)s)",
    ),
    Flag(
        name="log-file",
        metavar="FILE",
        default="",
        help="where the log is written; without it, to stderr. LogSettings changes all but the file"
        " at run time",
    ),
)
