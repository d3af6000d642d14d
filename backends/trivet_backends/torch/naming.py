"""Which of a model's arguments and results a tensor of the config is: pure.

The rules are those of Triton's PyTorch backend. Inputs go by the names of forward's arguments; if
one is none of them, by the number in NAME__NUMBER; if one has none, by their order in the config.
Outputs go by their keys where the model answers a dict, else by number, else by order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trivet.errors import Fault, InvalidConfig

_NUMBERED = re.compile(r".*?__([0-9]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of forward."""

    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """How forward is called: tensors by position, and by the names of arguments."""

    positional: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


def call_for(names: Sequence[str], arguments: Sequence[Argument], where: str) -> Call:
    """How forward gets the inputs of these names.

    where: how messages name the file. Raises InvalidConfig if an argument would get none, or two.
    """
    known = {argument.name for argument in arguments}
    if known.issuperset(names):
        missing = [a.name for a in arguments if not a.optional and a.name not in names]
        if missing:
            raise _refusal(where, f"forward needs '{missing[0]}', too", "add the input")
        return Call(named=tuple(names))
    positional = in_order(names)
    needed = sum(not argument.optional for argument in arguments)
    told = ", ".join(argument.name for argument in arguments)
    if len(set(positional.values())) < len(names) or max(positional.values()) >= len(names):
        what = "the numbers of the inputs are not 0, 1, 2 and so on"
        raise _refusal(where, what, f"number them so, or name them as forward does: {told}")
    if not needed <= len(names) <= len(arguments):
        what = f"forward takes {len(arguments)} inputs, and {len(names)} are named"
        raise _refusal(where, what, f"name an input for each of {told}")
    return Call(positional=tuple(sorted(names, key=positional.__getitem__)))


def in_order(names: Sequence[str]) -> dict[str, int]:
    """The place of each name: its number if all have one, else its order."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in found if match]
    order = numbers if len(numbers) == len(names) else range(len(names))
    return dict(zip(names, order, strict=True))


def _refusal(where: str, what: str, cure: str) -> InvalidConfig:
    return InvalidConfig([Fault(f"{where}: input", what, cure)])
