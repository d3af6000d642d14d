"""Who finds out about messages where they arrive, when that is not where they are answered.

What it is about is its own matter: here it is bytes that travel with a message, or ahead of all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

MAX_BESIDE_BYTES = 1 << 20  # that go with one message

# From a message to what goes with it; b"" for nothing. Later, where that would hold up the loop.
Prepare = Callable[[bytes], bytes | Awaitable[bytes]]


class Front(Protocol):
    """Its part in a process that takes connections."""

    def told(self, said: bytes) -> None:
        """The other part says something."""

    def preparing(self, method: str) -> Prepare | None:
        """What is to be done with the messages of a method; None: nothing. It raises nothing."""


class Companion(Protocol):
    """Its part where calls are answered."""

    @property
    def front(self) -> Callable[[], Front]:
        """Makes the other part; importable by its name, since it is called in another process."""

    def subscribe(self, tell: Callable[[bytes], None]) -> Callable[[], None]:
        """Tell one more of the other parts what it has to know, now and later; gives what ends it.

        tell: takes less than `frames.MAX_BODY_BYTES` at a time.
        """

    def read(self, beside: bytes) -> object:
        """What the other part found out, for `Accompanied`. Raises ValueError for what it never
        says."""
