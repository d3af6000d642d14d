"""Flags of gRPC-Web, for browsers, and what they mean together."""

from __future__ import annotations

import argparse

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean
from trivet.errors import Fault, InvalidConfig
from trivet.transport.h2corn.cors import origin_of
from trivet.transport.options import Transport, Web


def origin(text: str) -> str:
    """A site, as browsers name it."""
    try:
        return origin_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


FLAGS = (
    Flag(
        name="allow-grpc-web",
        metavar="true|false",
        parse=boolean,
        default=False,
        help="answer gRPC-Web on the gRPC port, too, over HTTP/1.1 and HTTP/2, so that browsers"
        " call without a proxy (default: false); needs --transport h2corn",
    ),
    Flag(
        name="grpc-web-allow-origin",
        metavar="ORIGIN",
        parse=origin,
        repeated=True,
        help="a site whose pages may call by gRPC-Web, as browsers name it, e.g."
        " https://www.example.org or http://localhost:8080; may be repeated. * allows pages of any"
        " site, and is warned of without --token-file. Without it no page may call (CORS)",
    ),
)


def web_options(args: argparse.Namespace) -> Web | None:
    """None where it is switched off. Raises InvalidConfig for what would have no effect."""
    origins = frozenset(args.grpc_web_allow_origin or ())
    if not args.allow_grpc_web:
        if origins:
            what = "has no effect without gRPC-Web"
            cure = "add --allow-grpc-web=true, or leave it out"
            raise InvalidConfig([Fault("--grpc-web-allow-origin", what, cure)])
        return None
    if args.transport is not Transport.H2CORN:
        what = f"the transport {args.transport} cannot do that"
        cure = "serve with --transport h2corn, or leave it out"
        raise InvalidConfig([Fault("--allow-grpc-web", what, cure)])
    return Web(origins=origins)
