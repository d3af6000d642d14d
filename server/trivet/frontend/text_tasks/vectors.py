"""Vectors of texts that come again and again: labels and examples. Bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from itertools import count
from weakref import WeakKeyDictionary

import numpy as np

from trivet.model.model import Model

MAX_BYTES = 64 << 20  # 40,000 vectors of width 384; what is used least goes first

Key = tuple[str, bool]  # a text, and whether it may be truncated


class Vectors:
    """Keeps vectors by model and text. Used by the event loop alone.

    A version that is loaded anew is another model: nothing of the old one is found, and what it
    left goes when room is needed.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[int, Key], np.ndarray] = OrderedDict()
        self._coming: dict[tuple[int, Key], asyncio.Event] = {}
        self._numbers: WeakKeyDictionary[Model, int] = WeakKeyDictionary()
        self._next = count()

    def __len__(self) -> int:
        return len(self._kept)

    def at_hand(self, model: Model, key: Key) -> np.ndarray | None:
        """A vector that an earlier call left."""
        place = (self._number(model), key)
        vector = self._kept.get(place)
        if vector is not None:
            self._kept.move_to_end(place)
        return vector

    async def made(
        self, model: Model, key: Key, compute: Callable[[], Awaitable[np.ndarray]]
    ) -> np.ndarray:
        """A vector at hand, or else what `compute` gives, kept for later calls.

        Callers who want the same at the same time wait for the first of them; should that one fail
        or leave, the next computes, so that nobody feels another's failure.
        """
        place = (self._number(model), key)
        while (kept := self.at_hand(model, key)) is None and place in self._coming:
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

    def _keep(self, place: tuple[int, Key], vector: np.ndarray) -> None:
        size = _size(place, vector)
        if size > self._max_bytes:
            return
        vector.flags.writeable = False
        self._kept[place] = vector
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._kept.popitem(last=False))

    def _number(self, model: Model) -> int:
        number = self._numbers.get(model)
        return self._numbers.setdefault(model, next(self._next)) if number is None else number


def _size(place: tuple[int, Key], vector: np.ndarray) -> int:
    return vector.nbytes + 4 * len(place[1][0])
