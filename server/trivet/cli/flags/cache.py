"""Flags of the response cache."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import positive, whole
from trivet.errors import Fault, InvalidConfig


def local_cache(text: str) -> int:
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
        parse=local_cache,
        help="memory for the answers of models that enable response_cache; without it their"
        " requests are all computed",
    ),
    Flag(
        name="response-cache-byte-size",
        metavar="BYTES",
        parse=whole,
        help="Triton's older way to say --cache-config=local,size=BYTES",
    ),
)


def cache_bytes(args: argparse.Namespace) -> int:
    """0: no cache. Raises InvalidConfig if it is said both ways."""
    old, new = args.response_cache_byte_size, args.cache_config
    if old is not None and new is not None:
        what = "is --cache-config, said again"
        raise InvalidConfig([Fault("--response-cache-byte-size", what, "leave it out")])
    return int(new or old or 0)
