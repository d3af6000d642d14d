"""Arguments that several commands take alike. Light: every `--help` reads it."""

from __future__ import annotations

import argparse
from pathlib import Path

from trivet.cli.flags.values import boolean


def add_repository_arguments(parser: argparse.ArgumentParser) -> None:
    """Which repositories are looked at, how closely, and how it is told."""
    parser.add_argument(
        "repository",
        metavar="REPOSITORY",
        type=Path,
        nargs="+",
        help="folder with one sub-folder per model",
    )
    parser.add_argument(
        "--load",
        action="store_true",
        help="also open every artifact with its engine (seconds, and the memory of one model)",
    )
    parser.add_argument(
        "--allow-python-backend",
        metavar="true|false",
        type=boolean,
        default=False,
        help="with --load: also run models that are Python code (model.py)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
