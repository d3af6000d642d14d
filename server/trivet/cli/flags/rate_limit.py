"""Flags of the rate limiter."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import whole
from trivet.scheduling.rate_limit import Limit

OFF, EXECUTION_COUNT = "off", "execution_count"


def mode(text: str) -> str:
    """In any case of letters, as Triton takes it."""
    if text.lower() not in (OFF, EXECUTION_COUNT):
        raise argparse.ArgumentTypeError(f"'{text}' is no mode; give {OFF} or {EXECUTION_COUNT}")
    return text.lower()


def limit(text: str) -> Limit:
    """NAME:COUNT or NAME:COUNT:DEVICE."""
    name, *numbers = text.split(":")
    if not name or len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no resource; give NAME:COUNT, or NAME:COUNT:DEVICE"
        )
    count, *device = map(whole, numbers)
    return Limit(name=name, count=count, device=device[0] if device else None)


FLAGS = (
    Flag(
        name="rate-limit",
        metavar="off|execution_count",
        parse=mode,
        default=OFF,
        help="execution_count: an instance runs only while it holds the resources that its"
        " rate_limiter names, and in the turn of its priority (default: %(default)s)",
    ),
    Flag(
        name="rate-limit-resource",
        metavar="NAME:COUNT[:DEVICE]",
        parse=limit,
        repeated=True,
        help="how much there is of a resource, on one device or on each; without it as much as the"
        " largest need of an instance; may be given several times",
    ),
)


def without_effect(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Flag and text for what is said of resources that nobody counts."""
    if args.rate_limit == OFF and args.rate_limit_resource:
        yield "--rate-limit-resource", f"resources count with --rate-limit={EXECUTION_COUNT} only"


def rate_limits(args: argparse.Namespace) -> tuple[Limit, ...] | None:
    """What there is of the resources; None: instances run whenever they can."""
    if args.rate_limit == OFF:
        return None
    return tuple(args.rate_limit_resource or ())
