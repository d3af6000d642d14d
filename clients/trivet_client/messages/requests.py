"""What the requests of all tasks of trivet.v1.TextService have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from trivet_client.errors import invalid
from trivet_protos.generated import text_pb2 as pb

Text = str | tuple[str, str]  # or a pair

_Word = TypeVar("_Word", bound=str | None)
_Enum = TypeVar("_Enum")

LONG_TEXT: Mapping[str | None, pb.LongText] = {
    None: pb.LONG_TEXT_UNSPECIFIED,
    "refuse": pb.LONG_TEXT_REFUSE,
    "truncate": pb.LONG_TEXT_TRUNCATE,
    "window": pb.LONG_TEXT_WINDOW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Which model, and which version of it; None: the latest."""

    name: str
    version: int | None

    @property
    def number(self) -> int:
        """The version as it travels."""
        return self.version or 0


def listed(texts: str | Sequence[str]) -> Sequence[str]:
    """One text as a list of one."""
    return [texts] if isinstance(texts, str) else texts


def listed_pairs(given: Text | Sequence[Text]) -> Sequence[Text]:
    """One text or one pair, which is a tuple, as a list of one.

    Raises InvalidArgument for a tuple of more or fewer texts.
    """
    if isinstance(given, str):
        return [given]
    if isinstance(given, tuple):
        if len(given) != 2:
            raise invalid(f"a pair is a tuple of 2 texts, not {len(given)}; send texts as a list")
        text, pair = given
        return [(str(text), str(pair))]
    return given


def pair_of(given: tuple[str, str]) -> tuple[str, str]:
    """Raises InvalidArgument for what is no pair, such as a text, whose letters would be taken."""
    if isinstance(given, str) or len(given) != 2:
        raise invalid(f"{given!r} is no pair; give a tuple of 2 texts")
    return given


def apart(given: Sequence[Text]) -> tuple[list[str], list[str]]:
    """The texts, and the second texts of pairs: as many, or none.

    Raises InvalidArgument for texts and pairs in one call, and for what is neither.
    """
    pairs = [pair_of(text) for text in given if not isinstance(text, str)]
    if pairs and len(pairs) < len(given):
        raise invalid(f"{len(pairs)} of {len(given)} are pairs; send pairs or texts in one call")
    return [text if isinstance(text, str) else text[0] for text in given], [b for _, b in pairs]


def number_of(field: str, word: str | None, known: Mapping[_Word, _Enum]) -> _Enum:
    """The number of an enum's word. Raises InvalidArgument for a word that is none."""
    for name, number in known.items():
        if name == word:
            return number
    raise invalid(f"{field} is {word!r}; give one of {', '.join(filter(None, known))}")
