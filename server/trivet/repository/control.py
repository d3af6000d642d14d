"""The life of the models: what is loaded at the start, and what clients load and unload later."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from trivet.clock import Clock
from trivet.config_file import Faults, parses, text_of_json
from trivet.errors import Code, Fault, InvalidConfig, ServeError, Unavailable, Unimplemented
from trivet.repository.demand import Demand
from trivet.repository.goals import with_members
from trivet.repository.layout import ModelFolder, Snapshot, is_model_name
from trivet.repository.manager import Manager
from trivet.repository.options import ALL_MODELS, ControlMode, ControlOptions
from trivet.repository.overrides import Overrides, discard, uploads_of
from trivet.repository.watcher import Watcher

_T = TypeVar("_T")


class NotPolled(ServeError):
    """A load that found no model, or a config that does not parse."""

    code = Code.INTERNAL  # what Triton's clients expect

    def __init__(self, name: str, faults: Collection[Fault]) -> None:
        reasons = "; ".join(map(str, faults))
        super().__init__(
            f"failed to load '{name}', failed to poll from model repository: {reasons}"
        )


class NotStarted(ServeError):
    """A load of a model that cannot start; what served before serves on."""

    code = Code.INVALID_ARGUMENT

    def __init__(self, name: str, faults: Collection[Fault]) -> None:
        super().__init__(f"failed to load '{name}': {'; '.join(map(str, faults))}")


class Control:
    """Starts the models, follows the repositories if so told, and does what clients ask."""

    def __init__(self, manager: Manager, clock: Clock, options: ControlOptions) -> None:
        self._manager = manager
        self._clock = clock
        self._options = options
        self._demand = Demand()
        self._overrides = Overrides()
        self._snapshot = Snapshot()  # as it is served
        self._acting = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_explicit(self) -> bool:
        return self._options.mode is ControlMode.EXPLICIT

    async def scan(self) -> None:
        """Read the repositories and show what will be loaded. Quick: no artifact is opened.

        Raises InvalidConfig if a repository, or a model to be loaded, is not there.
        """
        self._snapshot = await self._manager.look()
        if self.is_explicit:
            self._ask_for(self._options.load_models)
        self._manager.show(self._snapshot, self._names())

    async def start(self, *, quiet: bool = False) -> list[Fault]:
        """Load what `scan` found; returns everything that could not be. quiet: and logs nothing."""
        await self._manager.reconcile(self._snapshot, self._names(), quiet=quiet)
        return [fault for faults in self._manager.faults.values() for fault in faults]

    async def watch(self) -> None:
        """Follow the repositories until cancelled; returns at once where that is not wanted."""
        if self._options.mode is ControlMode.POLL:
            await Watcher(self._manager, self._clock, self._options, self._snapshot).watch()

    async def refresh(self) -> None:
        """Show what has come to the repositories and what has gone, for an index to tell it."""
        if self.is_explicit:
            with suppress(InvalidConfig):
                looked = await self._manager.look()
                self._manager.show_idle(self._with_served(looked), self._demand.names)

    async def load(
        self, name: str, config_json: str | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        """Load or reload a model and, if it is a pipeline, the models it calls.

        config_json: in place of its config.pbtxt. files: its versions' files, in place of those
        in the repository, as `file:<version>/<name>` -> content.
        Returns when all its versions are ready; goes on although the caller leaves.
        Raises Unavailable where clients do not control models, Unimplemented for files where
        uploads are switched off, NotPolled and NotStarted.
        """
        self._check_explicit()
        if files and not self._options.allow_upload:
            raise Unimplemented(
                f"failed to load '{name}': uploads are switched off on this server; put the files"
                " into the model repository, or start it with --allow-model-upload=true"
            )
        await self._whole(self._load(name, config_json, files or {}))

    async def unload(self, name: str, *, dependents: bool = False) -> None:
        """Unload a model; it is no error if it is not loaded.

        dependents: also what was loaded along with it and nothing else needs. Pipelines that call
        it go too, say so, and come back with it. Returns when the last user has left.
        Raises Unavailable where clients do not control models.
        """
        self._check_explicit()
        for departure in await self._whole(self._unload(name, dependents=dependents)):
            await asyncio.wait((departure,))

    async def close(self) -> None:
        """Take every model out, each when its last user has left, and remove what was uploaded."""
        for task in (unfinished := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        try:
            await self._manager.unload_all()
        finally:
            self._overrides.close()

    async def _load(self, name: str, config_json: str | None, files: Mapping[str, bytes]) -> None:
        async with self._acting:
            looked = await self._manager.look()
            own = self._own_folder(name, looked)
            config_text = _config_text(name, config_json, files)
            if config_text is not None:
                own = await self._overridden(name, own, config_text, files)
            if own is None:
                raise NotPolled(name, [_not_there(name)])
            if not parses(own.config_text or ""):
                faults = self._manager.inspect(Snapshot((own,)))[name].faults
                raise NotPolled(name, faults)
            await self._serve(name, own, looked, uploaded=bool(files))

    async def _serve(
        self, name: str, own: ModelFolder, looked: Snapshot, *, uploaded: bool
    ) -> None:
        """Serve a model from this folder. Raises NotStarted, and what served serves on."""
        before = self._snapshot
        found = self._with_served(looked).with_folder(own)
        names = with_members([name], self._manager.inspect(found))
        self._demand.add(name, names)
        self._snapshot = found
        for member in names:
            self._manager.try_again(member)
        await self._manager.reconcile(self._snapshot, self._demand.names)
        faults = [fault for one in (name, *sorted(names - {name})) for fault in self._of(one)]
        if not faults:
            replaced = self._overrides.keep(name, own if uploaded else None)
            await asyncio.to_thread(discard, replaced)
            return
        if uploaded:
            await asyncio.to_thread(discard, own.path.parent)
        earlier = before.folder(name)
        self._snapshot = found.with_folder(earlier) if earlier else found.without(name)
        raise NotStarted(name, faults)

    async def _unload(self, name: str, *, dependents: bool) -> Collection[asyncio.Task[None]]:
        """Returns what is on its way out because of it."""
        async with self._acting:
            before = set(self._manager.departing())
            self._demand.remove(name, dependents=dependents)
            looked = await self._manager.look()
            self._snapshot = self._with_served(looked)
            await self._manager.reconcile(self._snapshot, self._demand.names)
            await asyncio.to_thread(discard, self._overrides.keep(name, None))
            return set(self._manager.departing()) - before

    def _with_served(self, looked: Snapshot) -> Snapshot:
        """What lies there, but for the models that are wanted and serve as they were then."""
        kept = {
            folder.name: folder
            for folder in self._snapshot.folders
            if folder.name in self._demand.names and self._manager.serves(folder.name)
        }
        folders = {folder.name: folder for folder in looked.folders} | kept
        return replace(looked, folders=tuple(folder for _, folder in sorted(folders.items())))

    def _own_folder(self, name: str, looked: Snapshot) -> ModelFolder | None:
        """The model's folder in the repositories. Raises NotPolled for one that cannot be read."""
        if fault := looked.broken.get(name):
            raise NotPolled(name, [fault])
        return looked.folder(name)

    async def _overridden(
        self, name: str, own: ModelFolder | None, config_text: str, files: Mapping[str, bytes]
    ) -> ModelFolder | None:
        if not files:
            return replace(own, config_text=config_text) if own else None
        if not is_model_name(name):
            return None
        try:
            uploads = uploads_of(files, name)
            return await asyncio.to_thread(self._overrides.write, name, config_text, uploads)
        except InvalidConfig as error:
            raise NotPolled(name, error.faults) from None
        except OSError as error:
            fault = Fault(
                name,
                f"cannot be stored: {error.strerror}",
                "make room where temporary files go (TMPDIR), or send less",
            )
            raise NotPolled(name, [fault]) from error

    def _ask_for(self, names: Collection[str]) -> None:
        """What is loaded at the start. Raises InvalidConfig naming every model that is not."""
        alone = self._manager.inspect(self._snapshot)
        there = alone.keys() | self._snapshot.broken.keys()
        chosen = there if ALL_MODELS in names else names
        known = ", ".join(sorted(there)) or "none"
        unknown = Faults()
        for name in sorted(chosen):
            if name not in there:
                unknown.add(
                    f"--load-model={name}", "there is no such model", f"name one of {known}"
                )
            self._demand.add(name, {name, *with_members([name], alone)})
        unknown.raise_if_any()

    def _names(self) -> Collection[str] | None:
        return self._demand.names if self.is_explicit else None

    def _of(self, name: str) -> list[Fault]:
        return list(self._manager.faults.get(name, ()))

    def _check_explicit(self) -> None:
        if not self.is_explicit:
            raise Unavailable(
                "explicit model load / unload is not allowed if polling is enabled or model control"
                f" is off; the mode is '{self._options.mode.value}': start the server with"
                " --model-control-mode=explicit"
            )

    async def _whole(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do it to its end, although the caller may leave: half a change is none to have."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)


def _config_text(name: str, config_json: str | None, files: Mapping[str, bytes]) -> str | None:
    """The config that was sent, as protobuf text. Raises NotPolled."""
    if config_json is None:
        if files:
            what = "files came without the parameter 'config'"
            raise NotPolled(name, [Fault(name, what, "send the config, as JSON, with them")])
        return None
    faults = Faults()
    text = text_of_json(config_json, f"{name}: parameter 'config'", faults)
    if text is None:
        raise NotPolled(name, tuple(faults))
    return text


def _not_there(name: str) -> Fault:
    shown = name if len(name) <= 60 else f"{name[:60]}..."
    return Fault(f"{shown!r}", "there is no such model", "RepositoryIndex lists those there are")
