"""What a flag is: a value of which the parser, --help, the docs and the tests are made."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

Parse = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag, taken as `--name=value` and as `--name value`.

    name: without its dashes; what Triton has too is spelled as Triton spells it.
    metavar: what stands for its value; "" for a flag that takes none and is True if given.
    parse: text -> value; raises argparse.ArgumentTypeError with what is wrong and what to give.
    default: what it is without the flag. Of a repeated flag: nothing, and the value is a list.
    help: may name its default with %(default)s; a % is written %%.
    aliases: other names for it, as Triton has them.
    """

    name: str
    metavar: str
    help: str
    parse: Parse = str
    default: object = None
    repeated: bool = False
    required: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def dest(self) -> str:
        """Its name as an attribute of the parsed arguments."""
        return self.name.replace("-", "_")

    @property
    def described(self) -> str:
        """Its help, with its default written out."""
        return self.help % {"default": self.default}

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Declare it to a parser."""
        names = [f"--{name}" for name in (self.name, *self.aliases)]
        if not self.metavar:
            parser.add_argument(
                *names, dest=self.dest, action="store_const", const=True, help=self.help
            )
            return
        parser.add_argument(
            *names,
            dest=self.dest,
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
