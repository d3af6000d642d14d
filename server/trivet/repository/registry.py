"""Which versions of which models are served, and who is using them.

The one place where requests and versions meet. Touched from the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from trivet.errors import NotFound, Unavailable
from trivet.model.model import Model


class State(Enum):
    """Where a version is in its life; the words are the protocol's."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True, order=True)
class IndexEntry:
    """One line of the repository's index; version 0 stands for a model without any."""

    name: str
    version: int
    state: State = field(compare=False)
    reason: str = field(default="", compare=False)


@dataclass(slots=True)
class _Version:
    state: State
    reason: str = ""
    model: Model | None = None
    users: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def shown(self) -> tuple[State, str]:
        """State and reason; one whose instances are gone for good is ready no more."""
        if self.model is None or self.state is not State.READY:
            return self.state, self.reason
        condition = self.model.condition
        return State.READY if condition.able else State.UNAVAILABLE, condition.reason

    @property
    def is_ready(self) -> bool:
        return self.shown[0] is State.READY


class Registry:
    """name -> version -> model, with states and users."""

    def __init__(self) -> None:
        self._models: dict[str, dict[int, _Version]] = {}
        self._changed = asyncio.Event()

    @contextmanager
    def acquire(self, name: str, version: int | None = None) -> Iterator[Model]:
        """A ready version, kept alive while the block runs; None means the latest ready one.

        Raises NotFound for a model or version there is not or that could not be loaded,
        Unavailable for one that is not ready yet or no more.
        """
        entry = self._find(name, version)
        if entry.model is None or entry.state is not State.READY:
            raise _not_ready(name, version, entry)
        entry.users += 1
        try:
            yield entry.model
        finally:
            entry.users -= 1
            if not entry.users:
                entry.unused.set()

    def loading(self, name: str, version: int) -> None:
        """Show that a version is being loaded."""
        self._models.setdefault(name, {})[version] = _Version(State.LOADING)
        self._announce()

    def publish(self, model: Model) -> None:
        """Serve a loaded version from now on."""
        versions = self._models.setdefault(model.config.name, {})
        versions[model.version] = _Version(State.READY, model=model)
        self._announce()

    def failed(self, name: str, version: int, reason: str) -> None:
        """Show why a version is not served."""
        self._models.setdefault(name, {})[version] = _Version(State.UNAVAILABLE, reason)
        self._announce()

    async def retire(self, name: str, version: int) -> Model | None:
        """Give a version to nobody any more; return it when its last user has left."""
        entry = self._models[name][version]
        entry.state = State.UNLOADING
        self._announce()
        while entry.users:
            entry.unused.clear()
            await entry.unused.wait()
        model, entry.model = entry.model, None
        entry.state, entry.reason = State.UNAVAILABLE, "unloaded"
        self._announce()
        return model

    def index(self) -> list[IndexEntry]:
        """Every version known, in the order of name and version."""
        return sorted(
            IndexEntry(name, number, *entry.shown)
            for name, versions in self._models.items()
            for number, entry in versions.items()
        )

    def models(self) -> list[Model]:
        """The ready versions, in the order of name and version."""
        return [
            entry.model
            for _, versions in sorted(self._models.items())
            for _, entry in sorted(versions.items())
            if entry.model is not None and entry.state is State.READY
        ]

    def versions(self, name: str) -> Mapping[int, Model]:
        """The ready versions of one model, ascending. Raises NotFound for an unknown model."""
        if name not in self._models:
            raise NotFound(_unknown(name))
        return {model.version: model for model in self.models() if model.config.name == name}

    def is_ready(self, name: str, version: int | None = None) -> bool:
        """Whether a request for it would be taken; False for what is unknown."""
        try:
            return self._find(name, version).is_ready
        except NotFound:
            return False

    def all_ready(self) -> bool:
        """Whether every model has a version that is ready and none is loading."""
        return all(
            any(entry.is_ready for entry in versions.values())
            and all(entry.state is not State.LOADING for entry in versions.values())
            for versions in self._models.values()
        )

    async def wait_changed(self) -> None:
        """Return when any state has changed after this call."""
        events = [self._changed, *(model.changed for model in self.models())]
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _find(self, name: str, version: int | None) -> _Version:
        versions = self._models.get(name)
        if not versions:
            raise NotFound(_unknown(name))
        if version is not None:
            if version not in versions:
                known = ", ".join(map(str, sorted(versions)))
                raise NotFound(
                    f"Request for unknown model: '{name}' version {version} is not found;"
                    f" versions known: {known}"
                )
            return versions[version]
        ready = [number for number, entry in versions.items() if entry.state is State.READY]
        return versions[max(ready or versions)]


def _unknown(name: str) -> str:
    return (
        f"Request for unknown model: '{name}' is not found;"
        " RepositoryIndex (or `trivet ls`) lists the models there are"
    )


def _not_ready(name: str, version: int | None, entry: _Version) -> NotFound | Unavailable:
    which = f"'{name}'" if version is None else f"'{name}' version {version}"
    if entry.state is State.UNAVAILABLE:
        return NotFound(f"Request for unknown model: {which} has no ready version: {entry.reason}")
    return Unavailable(f"model {which} is not ready: it is {entry.state.value}; retry later")
