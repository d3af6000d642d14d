"""What a flag is: declared once as a value; the parser, --help and the tests are made from it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

Parse = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag, taken as `--name=value` and as `--name value`.

    name: without its dashes; what Triton has too is spelled as Triton spells it.
    parse: text -> value; raises argparse.ArgumentTypeError with what is wrong and what to give.
    default: what it is without the flag. Of a repeated flag: nothing, and the value is a list.
    help: may name its default with %(default)s; a % is written %%.
    """

    name: str
    metavar: str
    help: str
    parse: Parse = str
    default: object = None
    repeated: bool = False
    required: bool = False

    @property
    def dest(self) -> str:
        """Its name as an attribute of the parsed arguments."""
        return self.name.replace("-", "_")

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Declare it to a parser."""
        parser.add_argument(
            f"--{self.name}",
            metavar=self.metavar,
            type=self.parse,
            action="append" if self.repeated else "store",
            default=self.default,
            required=self.required,
            help=self.help,
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Flags that --help shows under one title."""

    title: str
    flags: tuple[Flag, ...]
