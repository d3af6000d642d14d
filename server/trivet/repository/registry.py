"""Which versions of which models are served, and who is using them.

The one place where requests and versions meet. Touched from the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from trivet.errors import Draining, NotFound, Unavailable
from trivet.model.model import Model
from trivet.repository.entries import NO_VERSION, Asked, Entries, unknown
from trivet.repository.entry import Entry, Leaving, State
from trivet.repository.keepers import Keepers
from trivet.request import InferRequest

UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the repository's index; NO_VERSION stands for a model without any."""

    name: str
    version: int
    state: State
    reason: str


class Registry:
    """name -> version -> model, with states and users."""

    def __init__(self) -> None:
        self._entries = Entries()
        self._keepers = Keepers()
        self._changed = asyncio.Event()
        self._leaving = False

    def leave(self) -> None:
        """The server takes leave: nothing shows as ready any more, and all is served as before."""
        self._leaving = True
        self._announce()

    @property
    def is_leaving(self) -> bool:
        """Whether `leave` was called."""
        return self._leaving

    def acquire(self, name: str, version: Asked = None) -> AbstractContextManager[Model]:
        """A ready version, kept alive while the block runs; None means the latest ready one.

        version: a number, or an alias that the model's config gives one. Raises NotFound for a
        model or version there is not or that could not be loaded, InvalidInput for an alias there
        is not, Unavailable for a version that is not ready yet or no more, or gone with the server.
        """
        return self._ready(name, version)

    def acquire_for(self, request: InferRequest) -> AbstractContextManager[Model]:
        """The same for a request; one of a sequence goes to the load that keeps its sequence."""
        if not self._keepers:
            return self.acquire(request.model, request.version)
        if keeper := self._keepers.keeper_of(request):
            return keeper
        entry = self._ready(request.model, request.version)
        self._keepers.given(request, entry)
        return entry

    def loading(self, name: str, version: int, *, counts: bool = True) -> None:
        """Show that a version is being loaded; one that serves meanwhile shows as before.

        counts: the whole is not ready before this version is. Not so for one that is to come
        beside or after versions that serve.
        """
        versions = self._entries.begun(name)
        versions.pop(NO_VERSION, None)
        if not self._entries.serving(name, version):
            versions[version] = Entry(State.LOADING, counts=counts)
        self._announce()

    def publish(self, model: Model) -> Leaving | None:
        """Serve a loaded version from now on; returns the load that it takes the place of."""
        versions = self._entries.begun(model.config.name)
        versions.pop(NO_VERSION, None)
        before = versions.get(model.version)
        versions[model.version] = published = Entry(State.READY, model=model)
        self._keepers.add(model.config.name, published)
        self._announce()
        return Leaving(before) if before and before.model else None

    def failed(self, name: str, version: int, reason: str) -> None:
        """Show why a version is not served, or what is wrong beside one that serves on.

        version: NO_VERSION for what concerns all; it is shown with those that are known.
        """
        versions = self._entries.begun(name)
        shown = set(versions) - {NO_VERSION} if version == NO_VERSION else {version}
        for number in shown or {NO_VERSION}:
            entry = versions.get(number)
            if entry is None or entry.state is State.LOADING:
                versions[number] = Entry(State.UNAVAILABLE, reason)
            elif entry.state is not State.UNLOADING:  # which says why when it is done
                entry.reason, entry.counts = reason, True
        self._announce()

    def mended(self, name: str, version: int) -> None:
        """Nothing is wrong any more with a version that serves."""
        entry = self._entries.serving(name, version)
        if entry and entry.reason:
            entry.reason = ""
            self._announce()

    def away(self, name: str, reason: str) -> None:
        """Tell of the versions that serve that their files cannot be seen now."""
        for entry in self._entries.of(name).values():
            if entry.state is State.READY:
                entry.reason = reason
        self._announce()

    def back(self, name: str, reason: str) -> None:
        """Tell no more what `away` told."""
        for entry in self._entries.of(name).values():
            if entry.state is State.READY and entry.reason == reason:
                entry.reason = ""
        self._announce()

    def idle(self, name: str, reason: str) -> None:
        """Show a model that is there and that nobody has asked to load."""
        versions = self._entries.begun(name)
        if not versions:
            versions[NO_VERSION] = Entry(State.UNAVAILABLE, reason)
        for entry in versions.values():
            if entry.state is State.UNAVAILABLE:
                entry.counts = False
        self._announce()

    def forget(self, name: str, version: int) -> None:
        """Show a version no more; one that is served, or still is used, stays."""
        versions = self._entries.of(name)
        if version in versions and versions[version].state is State.UNAVAILABLE:
            del versions[version]
        if not versions:
            self._entries.forget(name)
        self._announce()

    async def retire(
        self, name: str, version: int, reason: str = UNLOADED, *, succeeded: bool = False
    ) -> Model | None:
        """Give a version to nobody any more; return it when its last user has left.

        reason: why it is not served, as it shows from then on. succeeded: other versions of the
        model are served, and its open sequences go on until they are over; else they are over now.
        """
        entry = self._entries.of(name)[version]
        entry.state, entry.counts = State.UNLOADING, reason != UNLOADED
        if not succeeded:
            self._keepers.end(name)
        self._announce()
        model = await entry.drained()
        entry.state, entry.reason = State.UNAVAILABLE, reason
        self._announce()
        return model

    def served(self, name: str, version: int) -> Model | None:
        """The model that is given to whoever asks for this version; None if there is none."""
        entry = self._entries.serving(name, version)
        return entry.model if entry else None

    def latest(self, name: str) -> Model | None:
        """The version given to who asks for a model and no version; None if none is ready."""
        entry = self._entries.latest_ready(name)
        return entry.model if entry else None

    def index(self) -> list[IndexEntry]:
        """Every version known, in the order of name and version."""
        return [IndexEntry(name, number, *entry.shown) for name, number, entry in self._entries]

    def models(self) -> list[Model]:
        """The ready versions, in the order of name and version."""
        return [
            entry.model
            for _, _, entry in self._entries
            if entry.model is not None and entry.state is State.READY
        ]

    def versions(self, name: str) -> Mapping[int, Model]:
        """The ready versions of one model, ascending. Raises NotFound for an unknown model."""
        versions = self._entries.of(name)
        if not versions:
            raise NotFound(unknown(name))
        return {
            number: entry.model
            for number, entry in sorted(versions.items())
            if entry.model is not None and entry.state is State.READY
        }

    def number_of(self, name: str, version: Asked) -> int | None:
        """The version that is meant: an alias's is looked up in the latest ready version's config.

        Raises NotFound for an unknown model, InvalidInput for an alias there is not.
        """
        return self._entries.number_of(name, version)

    def is_ready(self, name: str, version: Asked = None) -> bool:
        """Whether requests should be sent for it; False for what is unknown.

        Raises InvalidInput for an alias that a known model has not.
        """
        try:
            return self._entries.find(name, version).is_ready and not self._leaving
        except NotFound:
            return False

    def all_ready(self) -> bool:
        """Whether every model that is to be served has a ready version, and none that counts is
        loading.
        """
        return not self._leaving and all(
            any(entry.is_ready for entry in counting)
            and all(entry.state is not State.LOADING for entry in counting)
            for versions in self._entries.by_model()
            if (counting := [entry for entry in versions.values() if entry.counts])
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
        self._entries.changed()
        self._changed.set()
        self._changed = asyncio.Event()

    def _ready(self, name: str, version: Asked) -> Entry:
        entry = self._entries.find(name, version)
        if entry.model is None or entry.state is not State.READY:
            if self._leaving:
                raise Draining(f"model '{name}': the server is shutting down; ask another")
            raise _not_ready(name, version, entry)
        return entry


def _not_ready(name: str, version: Asked, entry: Entry) -> NotFound | Unavailable:
    which = f"'{name}'" if version is None else f"'{name}' version {version}"
    if entry.state is State.UNAVAILABLE:
        return NotFound(f"Request for unknown model: {which} has no ready version: {entry.reason}")
    return Unavailable(f"model {which} is not ready: it is {entry.state.value}; retry later")
