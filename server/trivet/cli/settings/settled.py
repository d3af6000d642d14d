"""Who wins: a flag over its variable, the variable over the file, the file over the default."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from trivet.cli.flags.flag import GIVEN, Flag
from trivet.cli.flags.settings import SETTINGS_FILE
from trivet.cli.flags.values import boolean
from trivet.cli.settings.sources import Said, of_environment, of_file, unknown_variables
from trivet.config_file import Faults

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Settled:
    """Every setting.

    args: a value for each flag, as a command line that says all of it would be parsed.
    said: for each flag its texts and who said them, in the order of the flags.
    unknown: variables that are no flag's, each with a word of help.
    """

    args: argparse.Namespace
    said: tuple[Said, ...]
    unknown: tuple[tuple[str, str], ...]


def settled(
    args: argparse.Namespace, environment: Mapping[str, str], flags: Sequence[Flag]
) -> Settled:
    """args: as parsed from the command line. Raises InvalidConfig with every fault."""
    faults = Faults()
    line = _of_line(args, flags)
    variables = _by_name(of_environment(environment, flags, faults))
    file = (variables | line).get(SETTINGS_FILE.name)
    written = _by_name(of_file(Path(file.texts[0]), flags, faults)) if file else {}
    lower = {**written, **variables}  # both are checked, whoever wins
    values = vars(args) | {said.flag.dest: _value(said, faults) for said in lower.values()}
    values |= {said.flag.dest: getattr(args, said.flag.dest) for said in line.values()}
    said = lower | line
    for flag in flags:
        if flag.required and flag.name not in said:
            cure = f"give --{flag.name}={flag.metavar}, {flag.variable} or a settings file with it"
            faults.add(f"--{flag.name}", "is not given", cure)
    faults.raise_if_any()
    return Settled(
        argparse.Namespace(**values),
        tuple(said.get(flag.name) or Said(flag, default_texts(flag), DEFAULT) for flag in flags),
        tuple(unknown_variables(environment, flags)),
    )


def default_texts(flag: Flag) -> tuple[str, ...]:
    """A default as it would be written; () where there is none."""
    match flag.default:
        case None:
            return ()
        case bool():
            return (str(flag.default).lower(),)
        case Enum() if not isinstance(flag.default, str):
            return (flag.default.name.lower(),)
    return (str(flag.default),)


def _of_line(args: argparse.Namespace, flags: Iterable[Flag]) -> dict[str, Said]:
    given: Mapping[str, list[str]] = getattr(args, GIVEN, {})
    return {
        flag.name: Said(flag, tuple(given[flag.dest]), f"--{flag.name}")
        for flag in flags
        if flag.dest in given
    }


def _by_name(said: Iterable[Said]) -> dict[str, Said]:
    return {each.flag.name: each for each in said}


def _value(said: Said, faults: Faults) -> object:
    """None, and a fault, for a text that the flag does not take."""
    flag = said.flag
    values = []
    for text in said.texts:
        try:
            # A flag without a value is there or not; in other places it is true or false.
            values.append(flag.read(text) if flag.metavar else boolean(text) or flag.default)
        except argparse.ArgumentTypeError as error:
            what, _, cure = str(error).partition("; ")
            faults.add(said.where, what, cure or f"give {flag.metavar or 'true or false'}")
    if flag.repeated:
        return values
    return values[0] if values else None
