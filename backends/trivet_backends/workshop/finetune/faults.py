"""Faults of a file by line: the first ones in words, the rest counted."""

from __future__ import annotations

from trivet.errors import Fault, InvalidConfig

MOST_TOLD = 20


class LineFaults:
    """Collects what is wrong with one file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._faults: list[Fault] = []
        self._untold = 0

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, line: int, what: str, cure: str) -> None:
        """line: from 1."""
        if len(self._faults) < MOST_TOLD:
            self._faults.append(Fault(f"{self._file}, line {line:,}", what, cure))
        else:
            self._untold += 1

    def refuse(self) -> None:
        """Raise InvalidConfig if there are any."""
        if not self._faults:
            return
        if self._untold:
            more = f"{self._untold:,} more faults are not shown"
            self._faults.append(Fault(self._file, more, "mend these first"))
        raise InvalidConfig(self._faults)
