"""One load of a version in the registry: its state, its model, and who still needs the model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from trivet.model.model import Model
from trivet.scheduling.sequences.keeping import OpenSequences


class State(Enum):
    """Where a version is in its life; the words are the protocol's."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(slots=True)
class Entry:
    """A load, or the place where one is to be. A context: in it the model is in use."""

    state: State
    reason: str = ""
    model: Model | None = None
    users: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)
    counts: bool = True  # the whole is not ready while this version is not

    def __enter__(self) -> Model:
        """The model, kept alive while the block runs."""
        assert self.model is not None
        self.users += 1
        return self.model

    def __exit__(self, *exc: object) -> None:
        self.users -= 1
        if not self.users:
            self.unused.set()

    @property
    def sequences(self) -> OpenSequences | None:
        """Those of the model; None if it has none, or is closed."""
        return self.model.sequences if self.model is not None else None

    async def drained(self) -> Model | None:
        """Wait until no sequence is open and the last user has left; return the model, which
        nobody is given any more.
        """
        while True:
            if self.sequences is not None:
                await self.sequences.all_over()
            if not self.users:
                break
            self.unused.clear()
            await self.unused.wait()
        model, self.model = self.model, None
        return model

    @property
    def shown(self) -> tuple[State, str]:
        """State and reason; one whose instances are gone for good is ready no more."""
        if self.model is None or self.state is not State.READY:
            return self.state, self.reason
        condition = self.model.condition
        return State.READY if condition.able else State.UNAVAILABLE, condition.reason or self.reason

    @property
    def is_ready(self) -> bool:
        return self.shown[0] is State.READY


@dataclass(frozen=True, slots=True)
class Leaving:
    """A load whose place another has taken; those who use it may finish."""

    _entry: Entry

    async def drained(self) -> Model | None:
        """The model, when its last user has left and its sequences are over."""
        return await self._entry.drained()
