"""`trivet stub`: write a typed Python client of one served model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trivet_client.commands.arguments import version

NAME = "stub"
HELP = "write a typed Python client of a served model"
DESCRIPTION = """\
Ask a running server what a model takes and gives, and write a Python module for it: a method whose
arguments are the model's inputs with their numpy types, and a class of its answers, for Client and
for AsyncClient. The same model gives the same text, so the module can be committed and compared.
It needs the package trivet and passes mypy --strict.
"""
EPILOG = """\
examples:
  trivet stub embed
  trivet stub minilm --output minilm_client.py
  trivet stub minilm --version stable --output minilm_client.py
  trivet stub minilm --version 2 --url models.example:8001 --output minilm_client.py

exit status: 0 written; 1 the server refused, or the file cannot be written.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from trivet_client.connection import ADDRESS, TIMEOUT_S
    from trivet_client.security import add_login_arguments

    parser.add_argument("model", metavar="MODEL", help="name of the model")
    parser.add_argument(
        "--version",
        metavar="N",
        type=version,
        help="the version to ask for, by number or alias (default: the latest)",
    )
    parser.add_argument(
        "--url", metavar="HOST:PORT", default=ADDRESS, help="the server (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=TIMEOUT_S,
        help="for each question to the server (default: %(default)g)",
    )
    add_login_arguments(parser)
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="where to write (default: standard output)"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, write; 1 if either was refused."""
    from trivet_client.client import Client
    from trivet_client.errors import TrivetError
    from trivet_client.security import login
    from trivet_client.stub.description import describe
    from trivet_client.stub.module import module

    try:
        known = login(args)
        with Client(args.url, timeout_s=args.timeout, tls=known.tls, token=known.token) as client:
            text = module(describe(client, args.model, args.version))
    except TrivetError as error:
        return _complain(error.message)
    if args.output is None:
        sys.stdout.write(text)
        return 0
    try:
        args.output.write_text(text, encoding="utf-8")
    except OSError as error:
        return _complain(f"--output {args.output} cannot be written: {error.strerror}")
    return 0


def _complain(message: str) -> int:
    print(f"trivet: error: {' '.join(message.split())}", file=sys.stderr)
    return 1
