"""Which models clients have asked for, and which came along as parts of pipelines. Pure state."""

from __future__ import annotations

from collections.abc import Collection


class Demand:
    """name -> the names that were asked for and brought it along, its own among them if it was."""

    def __init__(self) -> None:
        self._askers: dict[str, set[str]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The models to be loaded."""
        return frozenset(self._askers)

    def add(self, name: str, brought: Collection[str]) -> None:
        """A model was asked for. brought: it and all that it calls."""
        for one in (name, *brought):
            self._askers.setdefault(one, set()).add(name)

    def remove(self, name: str, *, dependents: bool) -> None:
        """A model is no longer asked for, whoever brought it along.

        dependents: nor is what came along with it and nothing else needs; else that stays as if it
        had been asked for by its own name.
        """
        self._askers.pop(name, None)
        for one, askers in list(self._askers.items()):
            if name not in askers:
                continue
            askers.discard(name)
            if not dependents:
                askers.add(one)
            elif not askers:
                del self._askers[one]
