"""Flags that bound what one request may consist of; its bytes are --grpc-max-message-bytes."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import positive_setting
from trivet.frontend.limits import Limits

_HELP = {
    "max_name_length": "characters of a name in a request: of its model, tensors and parameters,"
    " and of its id",
    "max_dimensions": "dimensions of a tensor; numpy knows 64",
    "max_tensors": "inputs and requested outputs of a request",
    "max_bytes_elements": "elements of all BYTES inputs of a request, and texts of a call of"
    " TextService; 100000 keep the event loop for 30 ms",
    "max_typed_values": "values of a request in typed contents, which take the event loop 50 ns"
    " each; raw contents have no such limit",
    "max_parameters": "parameters of a request, those of its tensors included",
    "max_parameter_length": "characters of a text that is a parameter",
}

FLAGS = tuple(
    Flag(
        name=flag.removeprefix("--"),
        metavar="N",
        parse=positive_setting,
        default=getattr(Limits(), limit),
        help=f"{_HELP[limit]} (default: %(default)s)",
    )
    for limit, flag in Limits.FLAGS.items()
)


def request_limits(args: argparse.Namespace) -> Limits:
    """The limits as the flags say."""
    dests = zip(Limits.FLAGS, FLAGS, strict=True)
    return Limits(**{limit: getattr(args, flag.dest) for limit, flag in dests})
