"""Flags of what requests may bring along."""

from __future__ import annotations

import argparse
import re

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean


def pattern(text: str) -> str:
    """A regular expression; may begin with (?-i), which tells upper and lower case apart."""
    try:
        re.compile(text.removeprefix("(?-i)"))
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no regular expression: {error}; give one such as PREFIX_.*"
        ) from None
    return text


FLAGS = (
    Flag(
        name="allow-client-shm",
        metavar="true|false",
        parse=boolean,
        default=False,
        help="let clients of this machine register POSIX shared memory, and send and get tensors"
        " through it, as much in a request as in a message (default: false)",
    ),
    Flag(
        name="grpc-header-forward-pattern",
        metavar="PATTERN",
        parse=pattern,
        default="",
        help="headers whose names match become text parameters of the request, which reach the"
        " model; in any case of letters unless it begins with (?-i) (default: none)",
    ),
)
