"""Vectors of texts that come again and again: labels and examples. Bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import count
from weakref import WeakKeyDictionary

import numpy as np

MAX_BYTES = 64 << 20  # 40,000 vectors of width 384; what is used least goes first

Key = tuple[str, bool]  # a text, and whether it may be truncated
_Place = tuple[tuple[int, ...], Key]


class Vectors:
    """Keeps vectors by what made them and text: one for the server. Used by the event loop alone.

    What was loaded anew has a shelf of its own: nothing of the old one is found, and what that
    left goes when room is needed.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[_Place, np.ndarray] = OrderedDict()
        self._coming: dict[_Place, asyncio.Event] = {}
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._next = count()

    def __len__(self) -> int:
        return len(self._kept)

    def shelf(self, makers: Iterable[object]) -> Shelf:
        """Where the vectors are that these loaded models make together."""
        return Shelf(self, tuple(map(self._number, makers)))

    def at_hand(self, place: _Place) -> np.ndarray | None:
        """See `Shelf`."""
        vector = self._kept.get(place)
        if vector is not None:
            self._kept.move_to_end(place)
        return vector

    async def made(self, place: _Place, compute: Callable[[], Awaitable[np.ndarray]]) -> np.ndarray:
        """See `Shelf`."""
        while (kept := self.at_hand(place)) is None and place in self._coming:
            await self._coming[place].wait()
        if kept is not None:
            return kept
        done = self._coming[place] = asyncio.Event()
        try:
            vector = await compute()
            self._keep(place, vector)
            return vector
        finally:
            del self._coming[place]
            done.set()

    def _keep(self, place: _Place, vector: np.ndarray) -> None:
        size = _size(place, vector)
        if size > self._max_bytes:
            return
        vector.flags.writeable = False
        self._kept[place] = vector
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._kept.popitem(last=False))

    def _number(self, maker: object) -> int:
        number = self._numbers.get(maker)
        return self._numbers.setdefault(maker, next(self._next)) if number is None else number


@dataclass(frozen=True, slots=True)
class Shelf:
    """The vectors of one encoder as it is loaded now; equal to another only if the encoder is."""

    _vectors: Vectors
    _makers: tuple[int, ...]

    def at_hand(self, key: Key) -> np.ndarray | None:
        """A vector that an earlier call left."""
        return self._vectors.at_hand((self._makers, key))

    async def made(self, key: Key, compute: Callable[[], Awaitable[np.ndarray]]) -> np.ndarray:
        """A vector at hand, or else what `compute` gives, kept for later calls.

        Callers who want the same at the same time wait for the first of them; should that one fail
        or leave, the next computes, so that nobody feels another's failure.
        """
        return await self._vectors.made((self._makers, key), compute)


def _size(place: _Place, vector: np.ndarray) -> int:
    return vector.nbytes + 4 * len(place[1][0])
