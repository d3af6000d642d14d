"""Flags that say who may call what."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from trivet.cli.flags.flag import Flag
from trivet.errors import Fault, InvalidConfig
from trivet.frontend.access import Restriction
from trivet.frontend.access_rules import Group

_KEY = re.compile(r"[0-9a-z_.-]+")  # what the name of a header may be made of
_VALUE = re.compile(r"[ -~]+")

Restricted = tuple[tuple[Group, ...], Restriction]


def restricted(text: str) -> Restricted:
    """GROUPS:KEY=VALUE, as Triton reads it. What is wrong is told without the value."""
    groups, colon, setting = text.partition(":")
    key, equals, value = setting.partition("=")
    if not (groups and colon and key and equals and value):
        raise argparse.ArgumentTypeError("it is not GROUP[,GROUP...]:KEY=VALUE")
    # Headers travel in lower case; Triton takes other keys, which then no client can bring.
    if not _KEY.fullmatch(key) or key.endswith("-bin") or not _VALUE.fullmatch(value):
        raise argparse.ArgumentTypeError(
            f"the key of {groups}:{key}=... must be lower-case letters, digits, _ . -, not ending"
            " in -bin, and the value printable ASCII"
        )
    return tuple(map(_group, groups.split(","))), Restriction(key, value)


def _group(name: str) -> Group:
    try:
        return Group(name)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{name}' is no group; give {', '.join(Group)}") from None


def restrictions(given: Sequence[Restricted] | None) -> Mapping[Group, Restriction]:
    """By group. Raises InvalidConfig for a group that is named twice."""
    found: dict[Group, Restriction] = {}
    for groups, restriction in given or ():
        for group in groups:
            if group in found:
                what = f"names the group '{group}' more than once"
                raise InvalidConfig(
                    [Fault("--grpc-restricted-protocol", what, "restrict a group by one header")]
                )
            found[group] = restriction
    return found


def without_value(text: str) -> str:
    """A restriction as it may be shown."""
    return f"{text.partition('=')[0]}=***"


FLAGS = (
    Flag(
        name="grpc-restricted-protocol",
        metavar="GROUP[,GROUP...]:KEY=VALUE",
        parse=restricted,
        repeated=True,
        redacted=without_value,
        help="answer these groups of RPCs only to calls with the header triton-grpc-protocol-KEY:"
        f" VALUE; groups are {', '.join(Group)}. May be given several times",
    ),
    Flag(
        name="token-file",
        metavar="FILE",
        parse=Path,
        help="ask callers for the header authorization: Bearer TOKEN. A line of the file is"
        " infer, observe or control, or several with commas between, and a token or sha256:HEX"
        " of one; a changed file is read again. Health needs no token",
    ),
)
