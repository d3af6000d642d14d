"""Makes what is served equal to what lies on disk: reads, loads, publishes, unloads.

It acts; what to act on is decided by the pure functions of `layout` and `versions`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trivet.backend.contract import Backend, LoadContext
from trivet.backend.cores import Cores
from trivet.clock import Clock
from trivet.config import ModelConfig
from trivet.config_file import Faults, backend_of, read_config
from trivet.errors import Fault, InvalidConfig, ServeError
from trivet.model.cache import ResponseCache
from trivet.model.loading import Loader
from trivet.model.model import Model
from trivet.model.wiring import check_wiring
from trivet.repository.inspection import check_devices
from trivet.repository.layout import ModelFolder, read_repositories
from trivet.repository.registry import Registry
from trivet.repository.versions import load_order, missing, wanted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Version:
    """One version that is wanted and not yet loaded."""

    config: ModelConfig
    number: int
    path: Path
    filenames: tuple[str, ...]


class Manager:
    """Loads the models of the repositories into the registry, and takes them out again."""

    def __init__(
        self,
        repositories: Sequence[Path],
        registry: Registry,
        load_backend: Callable[[str], Backend],
        clock: Clock,
        cores: int,
        *,
        cache: ResponseCache | None = None,
        hold_until: int = 0,
    ) -> None:
        """load_backend: a backend by its name; raises InvalidConfig for one there is not.

        hold_until: requests that must wait before a scheduler takes its first batch, for tests.
        """
        self._repositories = repositories
        self._registry = registry
        self._load_backend = load_backend
        self._clock = clock
        self._loader = Loader(clock, Cores(cores), cache=cache, hold_until=hold_until)
        self._loading = asyncio.Semaphore(cores)  # opening an artifact keeps a core busy
        self._wanted: list[_Version] = []  # members before the pipelines that call them
        self.faults: list[Fault] = []  # of every model that could not be loaded

    async def scan(self) -> None:
        """Read the repositories and show what will be loaded. Quick: no artifact is opened.

        Raises InvalidConfig if a repository cannot be read; a faulty model is only shown.
        """
        unreadable = Faults()
        snapshot = await asyncio.to_thread(read_repositories, self._repositories, unreadable)
        configs = {folder.name: self._config(folder) for folder in snapshot.folders}
        good = [config for config in configs.values() if config]
        faulty = [name for name, config in configs.items() if not config]
        faulty += self._show_left_out(unreadable)
        ordering = Faults()
        order = load_order(good, ordering, faulty)
        self._show_faulty(sorted({config.name for config in good} - set(order)), ordering)
        for name in order:
            config, folder = configs[name], snapshot.folder(name)
            if config and folder:
                self._want(config, folder)

    async def load(self) -> None:
        """Load and publish what `scan` found, several at once; pipelines after the others."""
        models = [version for version in self._wanted if not version.config.is_pipeline]
        pipelines = [version for version in self._wanted if version.config.is_pipeline]
        await asyncio.gather(*(self._load(version) for version in models))
        for version in pipelines:
            await self._load(version)
        self._wanted = []

    async def unload_all(self) -> None:
        """Take every model out, pipelines first, each when its last user has left."""
        models = sorted(self._registry.models(), key=lambda model: not model.config.is_pipeline)
        for model in models:
            retired = await self._registry.retire(model.config.name, model.version)
            if retired:
                await retired.close()
                self._log("model_unloaded", model.config.name, model.version)

    def _config(self, folder: ModelFolder) -> ModelConfig | None:
        """The folder's config as written; None, and the faults shown, if it cannot be used."""
        for note in folder.notes:
            log.warning("version_ignored", extra={"note": note})
        faults = Faults()
        text = folder.config_text or ""
        config = read_config(text, folder.config_name, folder.name, faults)
        if config:
            check_devices(config, faults)
            for version in missing(config.version_policy, folder.versions):
                what = f"version {version} is not there"
                faults.add(f"{folder.config_name}: version_policy", what, "add or unlist it")
        if config and not faults and not folder.versions:
            what = "has no version to serve"
            faults.add(folder.name, what, f"put the artifact into {folder.name}/1/")
        if faults:
            self._show_faulty([folder.name], faults)
            return None
        return config

    def _show_left_out(self, faults: Faults) -> list[str]:
        """Show what could not be read; return the names of the models that are shown as faulty."""
        names = []
        for fault in faults:
            name = fault.where.split("/")[0]
            if name and any((folder / name).is_dir() for folder in self._repositories):
                self._failed(name, 0, InvalidConfig([fault]))
                names.append(name)
            else:  # it has no name that could be served
                self.faults.append(fault)
                log.error("model_left_out", extra={"fault": str(fault)})
        return names

    def _show_faulty(self, names: Sequence[str], faults: Faults) -> None:
        """Show models that will not be loaded, each with the faults found in its own folder."""
        for name in names:
            own = [fault for fault in faults if fault.where.split(":")[0].split("/")[0] == name]
            self._failed(name, 0, InvalidConfig(own))

    def _want(self, config: ModelConfig, folder: ModelFolder) -> None:
        for number in wanted(config.version_policy, folder.versions):
            filenames = folder.filenames[number]
            version = _Version(config, number, folder.version_path(number), filenames)
            self._wanted.append(version)
            self._registry.loading(config.name, number)

    async def _load(self, version: _Version) -> None:
        started_ns = self._clock.now_ns()
        name = version.config.name
        try:
            async with self._loading:
                model = await self._loaded(version)
        except Exception as error:  # whatever an engine raises concerns this model only
            self._failed(name, version.number, error)
            return
        self._registry.publish(model)
        seconds = (self._clock.now_ns() - started_ns) / 1e9
        self._log("model_ready", name, version.number, seconds=f"{seconds:.2f}")

    async def _loaded(self, version: _Version) -> Model:
        where = f"{version.config.name}/{version.number}"
        if version.config.is_pipeline:
            self._check_members(version.config)
            return self._loader.pipeline(version.config, version.number, self._registry)
        name = backend_of(version.config, version.filenames)
        if not name:
            what = "neither config.pbtxt nor the name of a file tells which backend runs it"
            cure = 'set backend, e.g. backend: "onnxruntime"'
            raise InvalidConfig([Fault(where, what, cure)])
        config = replace(version.config, backend=name)
        context = LoadContext(
            version=version.number,
            path=version.path,
            where=where,
            threads=self._loader.threads(config),
            cores=self._loader.cores_of(config),
        )
        backend = await asyncio.to_thread(self._load_backend, name)
        return await self._loader.load(config, backend, context)

    def _check_members(self, pipeline: ModelConfig) -> None:
        faults, members = Faults(), {}
        for index, step in enumerate(pipeline.steps):
            try:
                with self._registry.acquire(step.model, step.version) as member:
                    members[step.model] = member.config
            except ServeError as error:
                where = f"{pipeline.name}/config.pbtxt: ensemble_scheduling.step[{index}]"
                faults.add(where, str(error), "mend that model first")
        faults.raise_if_any()
        check_wiring(pipeline, members, faults)
        faults.raise_if_any()

    def _failed(self, name: str, version: int, error: Exception) -> None:
        if isinstance(error, InvalidConfig):
            faults = list(error.faults)
        else:
            what = str(error) if isinstance(error, ServeError) else f"the engine failed: {error}"
            faults = [Fault(f"{name}/{version}", what, "see the server's log")]
        self.faults += faults
        self._registry.failed(name, version, "; ".join(map(str, faults)))
        unexpected = None if isinstance(error, ServeError) else error
        for fault in faults:
            extra = {"model": name, "version": version, "fault": str(fault)}
            log.error("model_not_loaded", exc_info=unexpected, extra=extra)

    def _log(self, event: str, model: str, version: int, **more: str) -> None:
        log.info(event, extra={"model": model, "version": version, **more})
