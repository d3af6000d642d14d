"""One version of one model, from its folder to a model that can be published, or to its faults."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from trivet.backend.contract import Infer, LoadContext
from trivet.config import ModelConfig
from trivet.config_file import Faults
from trivet.errors import Fault, InvalidConfig, ServeError
from trivet.model.loading import Loader
from trivet.model.model import Model
from trivet.model.wiring import check_wiring
from trivet.repository.inspection import Inspected, LoadBackend, faults_of_error
from trivet.repository.registry import Registry
from trivet.request import InferRequest, InferResponse


class CannotStart(Exception):
    """A version that could not be loaded, with everything that speaks against it.

    cause: what the engine raised, where that was no plain refusal; for the log.
    """

    def __init__(self, faults: tuple[Fault, ...], cause: Exception | None = None) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults
        self.cause = cause


class Loads:
    """Opens versions, as many at once as there are cores."""

    def __init__(
        self, load_backend: LoadBackend, loader: Loader, registry: Registry, cores: int
    ) -> None:
        self._load_backend = load_backend
        self._loader = loader
        self._registry = registry
        self._busy = asyncio.Semaphore(cores)  # opening an artifact keeps a core busy

    async def load(self, model: Inspected, version: int) -> Model:
        """A version that is warm and not yet published. Raises CannotStart."""
        faults = model.own_faults + model.faults_of(version)
        if faults or model.config is None:
            raise CannotStart(faults)
        try:
            async with self._busy:
                if model.config.is_pipeline:
                    self._check_members(model.config)
                    return self._loader.pipeline(
                        model.config, version, self._registry, model.folder.path
                    )
                return await self._opened(model, model.config, version)
        except Exception as error:  # whatever an engine raises concerns this model only
            where, backend = f"{model.name}/{version}", model.backends[version]
            cause = None if isinstance(error, ServeError) else error
            raise CannotStart(faults_of_error(error, where, backend), cause) from error

    async def _opened(self, model: Inspected, written: ModelConfig, version: int) -> Model:
        config = replace(written, backend=model.backends[version])
        context = LoadContext(
            version=version,
            path=model.folder.version_path(version),
            where=f"{config.name}/{version}",
            threads=self._loader.threads(config),
            cores=self._loader.cores_of(config),
            infer=self._infer_from(asyncio.get_running_loop()),
        )
        backend = await asyncio.to_thread(self._load_backend, config.backend)
        return await self._loader.load(config, backend, context)

    def _infer_from(self, loop: asyncio.AbstractEventLoop) -> Infer:
        """How code that runs in other threads asks the models that are served."""

        async def answered(request: InferRequest) -> InferResponse:
            with self._registry.acquire_for(request) as model:
                return await model.infer(request)

        return lambda request: asyncio.run_coroutine_threadsafe(answered(request), loop)

    def check_members(self, model: Inspected) -> None:
        """Whether a pipeline fits its members as they are served now. Raises CannotStart."""
        assert model.config is not None
        try:
            self._check_members(model.config)
        except InvalidConfig as error:
            raise CannotStart(error.faults) from error

    def fits_members(self, pipeline: ModelConfig) -> bool:
        """Whether a pipeline that serves fits its members as they are served now."""
        try:
            self._check_members(pipeline)
        except InvalidConfig:
            return False
        return True

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
