"""What the owner tells the front end of one loaded tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trivet.backend.portable import Portable

Wiring = Mapping[str, str]  # from an input of the tokenizer to the asked model's that it is fed by

LATEST = 0  # in a version's place: whichever is asked for without one


class Route(NamedTuple):
    """A model whose requests begin with this tokenizer, or the tokenizer itself."""

    model: str
    version: int  # or LATEST
    wiring: Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One load of a tokenizer, by a number that no other load ever has."""

    number: int
    portable: Portable
    routes: Sequence[Route]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A load that is not served any more."""

    number: int
