"""Arguments that several commands read alike."""

from __future__ import annotations


def version(text: str) -> int | str:
    """A version of a model by its number, or by an alias that its config gives it."""
    return int(text) if text.isascii() and text.isdecimal() else text
