"""Flags of how long engines may take."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import number
from trivet.scheduling.watchdog import TimeLimits

FLAGS = (
    Flag(
        name="execution-timeout-secs",
        metavar="SECONDS",
        parse=number,
        default=600,
        help="how long an execution, or a decoupled model's next answer, may take before its"
        " instance counts as hung and is replaced; the parameter execution_timeout_seconds in"
        " config.pbtxt goes before it, 0 means for ever (default: %(default)s)",
    ),
    Flag(
        name="load-timeout-secs",
        metavar="SECONDS",
        parse=number,
        default=1800,
        help="how long opening a model, and making and warming up an instance, may take before its"
        " load is given up; the parameter load_timeout_seconds in config.pbtxt goes before it,"
        " 0 means for ever (default: %(default)s)",
    ),
)


def time_limits(args: argparse.Namespace) -> TimeLimits:
    """How long engines may take where their configs do not say it."""
    return TimeLimits(execution_s=args.execution_timeout_secs, load_s=args.load_timeout_secs)
