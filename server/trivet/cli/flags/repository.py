"""Flags of the model repository: which models there are, and what happens if one fails."""

from __future__ import annotations

from pathlib import Path

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean

FLAGS = (
    Flag(
        name="model-repository",
        metavar="DIR",
        parse=Path,
        repeated=True,
        required=True,
        aliases=("model-store",),
        help="folder with one sub-folder per model; may be given several times",
    ),
    Flag(
        name="allow-python-backend",
        metavar="true|false",
        parse=boolean,
        default=False,
        help="run models that are Python code (model.py); whoever can write into the repository, or"
        " upload to it, can then run code as this server (default: false)",
    ),
    Flag(
        name="exit-on-error",
        metavar="true|false",
        parse=boolean,
        default=True,
        help="end with an error if a model cannot be loaded, instead of serving the others"
        " (default: true)",
    ),
)
