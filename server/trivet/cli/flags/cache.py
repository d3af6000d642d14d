"""Flags of the response cache."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import positive


def cache_bytes(text: str) -> int:
    """The size in local,size=BYTES."""
    name, _, setting = text.partition(",")
    key, _, value = setting.partition("=")
    if (name, key) != ("local", "size"):
        raise argparse.ArgumentTypeError(f"'{text}' is no cache; give local,size=BYTES")
    return positive(value)


FLAGS = (
    Flag(
        name="cache-config",
        metavar="local,size=BYTES",
        parse=cache_bytes,
        default=0,
        help="memory for the answers of models that enable response_cache; without it their"
        " requests are all computed",
    ),
)
