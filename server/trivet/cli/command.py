"""What a command of `trivet` is: a module, or an object, named in the group `trivet.commands`."""

from __future__ import annotations

import argparse
from typing import Protocol


class Command(Protocol):
    """One word after `trivet`. Importing it is cheap: what is heavy is imported in `run`.

    It may also have DESCRIPTION and EPILOG, the long texts of its --help.
    """

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """The word, as on the command line."""

    @property
    def HELP(self) -> str:  # noqa: N802
        """What it does, in one line."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its flags."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit status. A ServeError is printed, one line per fault."""
