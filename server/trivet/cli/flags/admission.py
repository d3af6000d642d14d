"""Flags that bound how much is under way at a time; what comes beyond is refused at the door."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import whole
from trivet.frontend.admission import AdmissionLimits

_HELP = {
    "max_inflight_requests": "calls, and messages of streams, under way at a time; more are refused"
    " with UNAVAILABLE before they are read, and told when to come back. The parameter"
    " max_inflight_requests in config.pbtxt bounds one model or pipeline; 0 means any number",
    "max_inflight_bytes": "bytes of these, as they came, that are held at a time; one alone is"
    " taken whatever its size; 0 means any",
}

FLAGS = tuple(
    Flag(
        name=flag.removeprefix("--"),
        metavar="N" if "requests" in limit else "BYTES",
        parse=whole,
        default=getattr(AdmissionLimits(), limit),
        help=f"{_HELP[limit]} (default: %(default)s)",
    )
    for limit, flag in AdmissionLimits.FLAGS.items()
)


def admission_limits(args: argparse.Namespace) -> AdmissionLimits:
    """The limits as the flags say."""
    dests = zip(AdmissionLimits.FLAGS, FLAGS, strict=True)
    return AdmissionLimits(**{limit: getattr(args, flag.dest) for limit, flag in dests})
