"""What there is of every model, by name and version, and which of it a request means."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.errors import InvalidInput, NotFound
from trivet.repository.aliases import aliases_of
from trivet.repository.entry import Entry, State

Asked = int | str | None  # a version's number, an alias of one, or the latest that is ready

NO_VERSION = 0  # stands for a model as a whole


class Entries:
    """name -> version -> entry."""

    def __init__(self) -> None:
        self._models: dict[str, dict[int, Entry]] = {}
        self._latest: dict[str, Entry] = {}  # ready ones that were asked for since a state changed

    def __iter__(self) -> Iterator[tuple[str, int, Entry]]:
        """All of them, in the order of name and version."""
        for name, versions in sorted(self._models.items()):
            for number, entry in sorted(versions.items()):
                yield name, number, entry

    def by_model(self) -> Iterator[dict[int, Entry]]:
        """The versions of each model."""
        yield from self._models.values()

    def of(self, name: str) -> dict[int, Entry]:
        """The versions of a model; none for one that is not known."""
        return self._models.get(name, {})

    def begun(self, name: str) -> dict[int, Entry]:
        """The versions of a model, to add to; it is known from now on."""
        return self._models.setdefault(name, {})

    def forget(self, name: str) -> None:
        """There is nothing of this model any more."""
        self._models.pop(name, None)

    def changed(self) -> None:
        """A state is another, or an entry came or went: call it after each change."""
        self._latest.clear()

    def serving(self, name: str, version: int) -> Entry | None:
        """This version, if requests are given it."""
        entry = self.of(name).get(version)
        return entry if entry and entry.state is State.READY else None

    def latest_ready(self, name: str) -> Entry | None:
        """What is given to who asks for no version; None if none is ready."""
        if known := self._latest.get(name):
            return known
        versions = self.of(name)
        ready = [number for number, entry in versions.items() if entry.state is State.READY]
        if not ready:
            return None
        latest = self._latest[name] = versions[max(ready)]
        return latest

    def find(self, name: str, asked: Asked) -> Entry:
        """What is meant, whatever its state. Raises NotFound, InvalidInput for an unknown alias."""
        if asked is None and (latest := self.latest_ready(name)):
            return latest
        version = self.number_of(name, asked)
        versions = self.of(name)
        if not versions:
            raise NotFound(unknown(name))
        if version is None:
            return versions[max(versions)]
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise NotFound(
                f"Request for unknown model: '{name}' version {version} is not found;"
                f" versions known: {known}"
            )
        return versions[version]

    def number_of(self, name: str, asked: Asked) -> int | None:
        """The version that is meant: an alias's is looked up in the latest ready version's config.

        Raises NotFound for an unknown model, InvalidInput for an alias there is not.
        """
        if not isinstance(asked, str):
            return asked
        if not self.of(name):
            raise NotFound(unknown(name))
        latest = self.latest_ready(name)
        aliases = aliases_of(latest.model.config) if latest and latest.model else {}
        if asked not in aliases:
            known = f"aliases known: {', '.join(sorted(aliases))}" if aliases else "it has none"
            raise InvalidInput(
                f"model '{name}': version '{asked}' is no positive integer and no alias of the"
                f" model; {known}"
            )
        return aliases[asked]


def unknown(name: str) -> str:
    """What the caller of a model reads that there is not."""
    return (
        f"Request for unknown model: '{name}' is not found;"
        " RepositoryIndex (or `trivet ls`) lists the models there are"
    )
