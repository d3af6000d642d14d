"""What a flag is: a value of which the parser, --help, the docs and the tests are made."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Parse = Callable[[str], object]

PREFIX = "TRIVET_"  # of the variables of the environment
GIVEN = "texts_given"  # where the parsed arguments keep what was written, by dest


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag, taken as `--name=value` and as `--name value`.

    name: without its dashes; what Triton has too is spelled as Triton spells it.
    metavar: what stands for its value; "" for a flag that takes none and is True if given.
    parse: text -> value; raises argparse.ArgumentTypeError with what is wrong and what to give.
    default: what it is without the flag. Of a repeated flag: nothing, and the value is a list.
    help: may name its default with %(default)s; a % is written %%.
    aliases: other names for it, as Triton has them.
    bare: what `--name` without a value stands for; None: it needs one.
    required: it must be said somewhere: by flag, variable or file.
    by_variable, by_file: whether the environment and the settings file may say it, too.
    redacted: a text of it -> what of that may be shown; None: all.
    """

    name: str
    metavar: str
    help: str
    parse: Parse = str
    default: object = None
    repeated: bool = False
    required: bool = False
    aliases: tuple[str, ...] = ()
    bare: str | None = None
    by_variable: bool = True
    by_file: bool = True
    redacted: Callable[[str], str] | None = None

    @property
    def dest(self) -> str:
        """Its name as an attribute of the parsed arguments."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.dest.upper()

    @property
    def described(self) -> str:
        """Its help, with its default written out."""
        return self.help % {"default": self.default}

    def read(self, text: str) -> object:
        """The value of a text. Raises ArgumentTypeError."""
        try:
            return self.parse(text)
        except ValueError:
            shown = self.redacted(text) if self.redacted else text
            raise argparse.ArgumentTypeError(f"'{shown}' is no {self.metavar}") from None

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Declare it to a parser. What the environment may say instead is never required of it."""
        parser.add_argument(
            *(f"--{name}" for name in (self.name, *self.aliases)),
            dest=self.dest,
            action=_Keep,
            flag=self,
            nargs=0 if not self.metavar else "?" if self.bare is not None else None,
            metavar=self.metavar or None,
            const=self.bare,
            default=self.default,
            help=self.help,
        )


class _Keep(argparse.Action):
    """Keeps a flag's value, and beside it the text as it was written."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, flag: Flag, **more: Any):
        super().__init__(option_strings, dest, **more)
        self.flag = flag

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        text = values if self.flag.metavar else "true"
        try:
            value = self.flag.read(text) if self.flag.metavar else True
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        texts = vars(namespace).setdefault(GIVEN, {})
        texts.setdefault(self.dest, []).append(text)
        if self.flag.repeated:
            value = [*(getattr(namespace, self.dest) or ()), value]
        setattr(namespace, self.dest, value)


@dataclass(frozen=True, slots=True)
class Group:
    """Flags that --help shows under one title."""

    title: str
    flags: tuple[Flag, ...]
