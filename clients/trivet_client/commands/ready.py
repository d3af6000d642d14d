"""`trivet ready`: whether a server takes requests, as an exit status for probes and scripts."""

from __future__ import annotations

import argparse
import sys

from trivet_client.client import Client
from trivet_client.connection import ADDRESS
from trivet_client.errors import TrivetError
from trivet_client.security import add_login_arguments, login

NAME = "ready"
HELP = "tell by the exit status whether a server is ready"
DESCRIPTION = """\
Ask a server whether it takes requests, for health probes of containers and for scripts that wait
until it is up. Nothing is printed if it is ready.
"""
EPILOG = """\
examples:
  trivet ready
  trivet ready --model embed --model fill_mask
  trivet serve --model-repository models & trivet ready --wait 60 && trivet infer embed --text hello

exit status: 0 ready; 1 not ready, or no server answers.
"""

TIMEOUT_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", metavar="HOST:PORT", default=ADDRESS, help="the server (default: %(default)s)"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        action="append",
        default=[],
        help="a model that has to be ready, too; may be given several times",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        help="ask again for so long, until the server is ready (default: ask once)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=TIMEOUT_S,
        help="for each answer (default: %(default)g)",
    )
    add_login_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0: ready. 1: not, and why."""
    try:
        known = login(args)
        with Client(args.url, tls=known.tls, token=known.token, timeout_s=args.timeout) as client:
            if args.wait is not None:
                client.wait_ready(args.wait)
            why_not = _why_not(client, args)
    except TrivetError as error:
        why_not = error.message
    if why_not:
        print(f"trivet: not ready: {' '.join(why_not.split())}", file=sys.stderr, flush=True)
    return 1 if why_not else 0


def _why_not(client: Client, args: argparse.Namespace) -> str:
    if not client.server_ready():
        return f"the server at {args.url} starts or stops"
    missing = [name for name in args.model if not client.model_ready(name)]
    return f"no version is ready of: {', '.join(missing)}" if missing else ""
