"""A collector: what is wrong is noted and reading goes on, so that all faults show at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trivet.errors import Fault, InvalidConfig


class Faults:
    """The faults found so far, in the order they were found."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, where: str, what: str, cure: str) -> None:
        """where: file and field; what: what is wrong there; cure: what to do about it."""
        self._faults.append(Fault(where, what, cure))

    def extend(self, faults: Iterable[Fault]) -> None:
        self._faults.extend(faults)

    def raise_if_any(self) -> None:
        """Raises InvalidConfig that carries every fault."""
        if self._faults:
            raise InvalidConfig(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def __len__(self) -> int:
        return len(self._faults)
