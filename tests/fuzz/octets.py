"""Bytes as a source of choices: the same bytes always choose the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Octets:
    """Takes choices off the front of some bytes; when they are used up, the first of each."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._place : self._place + count]
        self._place += count
        return taken

    def number(self, size: int = 1, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def one_of(self, choices: Sequence[_T]) -> _T:
        return choices[self.number() % len(choices)]

    def rest(self) -> bytes:
        return self.take(len(self._data))
