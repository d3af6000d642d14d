"""How the models of the repositories come and go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

ALL_MODELS = "*"


class ControlMode(Enum):
    """Who says when models are loaded; the values are Triton's."""

    NONE = "none"  # all at the start, and never again
    POLL = "poll"  # the repositories are looked at, and changes followed
    EXPLICIT = "explicit"  # clients do


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOptions:
    """What an operator can set.

    load_models: with EXPLICIT, what is loaded at the start; ("*",) for all that is there.
    """

    mode: ControlMode = ControlMode.NONE
    poll_s: float = 15.0
    # Seconds in which a folder must not change before it is read, unless it came in one piece.
    settle_s: float = 2.0
    load_models: tuple[str, ...] = ()
    allow_upload: bool = False  # clients may send files to load, with EXPLICIT
