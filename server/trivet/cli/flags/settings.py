"""Flags about the other flags: where more of them are written, and what they come to."""

from __future__ import annotations

import argparse
from pathlib import Path

from trivet.cli.flags.flag import Flag

TABLE, TOML = "table", "toml"


def form(text: str) -> str:
    """How settings are printed."""
    if text not in (TABLE, TOML):
        raise argparse.ArgumentTypeError(f"'{text}' is no form; give {TABLE} or {TOML}")
    return text


SETTINGS_FILE = Flag(
    name="settings-file",
    metavar="FILE",
    parse=Path,
    by_file=False,
    help="TOML with a line for each setting, named as its flag is: grpc-port = 9000. A flag wins"
    " over its variable, the variable over the file, the file over the default",
)
PRINT_CONFIG = Flag(
    name="print-config",
    metavar=f"{TABLE}|{TOML}",
    parse=form,
    bare=TABLE,
    by_variable=False,
    by_file=False,
    help=f"print every setting and who said it, and end; --print-config={TOML} writes a settings"
    " file. Secrets are left out",
)

FLAGS = (SETTINGS_FILE, PRINT_CONFIG)
