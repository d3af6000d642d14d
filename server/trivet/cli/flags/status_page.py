"""Flags of the page to look at, and what they mean together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean

if TYPE_CHECKING:
    from trivet.status.options import PageOptions


def _host(text: str) -> str:
    if not text or set(text) & set("/:@,[] "):
        raise argparse.ArgumentTypeError(f"'{text}' is no host's name; give it without a port")
    return text.lower().removesuffix(".")


FLAGS = (
    Flag(
        name="allow-page",
        metavar="true|false",
        parse=boolean,
        default=True,
        help="show models, their states, load and recent errors on a page for browsers, at / of the"
        " metrics port (default: true); with --token-file it asks for a token with the role"
        " observe",
    ),
    Flag(
        name="allow-playground",
        metavar="true|false",
        parse=boolean,
        default=True,
        help="let models be asked on that page, too (default: true); with --token-file for a token"
        " with the role infer",
    ),
    Flag(
        name="page-host",
        metavar="NAME",
        parse=_host,
        repeated=True,
        help="a name by which browsers may open the page, besides those of this machine, e.g. that"
        " of a proxy; may be repeated. Without it a port of this machine alone takes no other name,"
        " one open to the network takes any",
    ),
)


def page_options(args: argparse.Namespace, *, is_local: bool) -> PageOptions | None:
    """None where it is switched off. is_local: whether only this machine can reach the port."""
    from trivet.status.options import PageOptions

    if not args.allow_page:
        return None
    hosts = frozenset(args.page_host or ())
    return PageOptions(
        playground=args.allow_playground, hosts=hosts, any_host=not (is_local or hosts)
    )
