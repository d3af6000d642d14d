"""From a version's folder to a model that is ready, or an error that says why not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trivet.backend.contract import (
    Artifact,
    Backend,
    ElasticArtifact,
    LoadContext,
    Signature,
    UserCodeBackend,
)
from trivet.backend.cores import Cores, fair_share
from trivet.backend.placement import contexts, placed, posts
from trivet.backend.portable import portable_of
from trivet.clock import Clock
from trivet.config import InstanceGroup, ModelConfig
from trivet.config_file import Faults
from trivet.errors import Fault, InvalidConfig
from trivet.model.affinity import check_affinity, usable_cores
from trivet.model.cache import CacheShare, ResponseCache
from trivet.model.completion import completed
from trivet.model.labels import Labels, labels_of
from trivet.model.memory import MemoryLedger
from trivet.model.model import Model
from trivet.model.starting import Starting
from trivet.model.warm_up import Sample, samples_of
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.decoupled import DecoupledScheduler
from trivet.scheduling.instances import Instances
from trivet.scheduling.labelling.embedding import Models
from trivet.scheduling.labelling.scheduler import LabelScheduler
from trivet.scheduling.labelling.vectors import Vectors
from trivet.scheduling.pipeline import PipelineScheduler
from trivet.scheduling.resources import Permit, ResourcePool
from trivet.scheduling.scheduler import Scheduler
from trivet.scheduling.sequences.scheduler import SequenceScheduler
from trivet.scheduling.sequences.tensors import client_config, engine_config, initial_states
from trivet.scheduling.watchdog import HungThreads, TimeLimits, TookTooLong
from trivet.telemetry.statistics import Statistics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loader:
    """What every load needs: the clock, and the cores that all instances of a model share."""

    clock: Clock
    cores: Cores
    hold_until: int = 0  # requests that must wait before a scheduler takes its first batch
    cache: ResponseCache | None = None  # of the server
    memory: MemoryLedger = field(default_factory=MemoryLedger)
    resources: ResourcePool | None = None  # of the server; None: instances run whenever they can
    vectors: Vectors = field(default_factory=Vectors)  # of labels and examples; of the server
    limits: TimeLimits = field(default_factory=TimeLimits)  # where a config sets none of its own
    hung: HungThreads = field(default_factory=HungThreads)

    def threads(self, config: ModelConfig) -> int:
        """Cores for each instance: never more engine threads than cores, and at least one."""
        return fair_share(self.cores_of(config).count, config.instance_count)

    def cores_of(self, config: ModelConfig) -> Cores:
        """The cores of the process, or those that the config keeps its instances to."""
        count = min(self.cores.count, len(config.cpu_affinity))
        return Cores(count) if count else self.cores

    async def load(self, config: ModelConfig, backend: Backend, context: LoadContext) -> Model:
        """Open the artifact, make and warm up the instances.

        config: as written; what the artifact tells is filled in. Raises InvalidConfig for what is
        wrong with the files, and where it takes too long, else what the engine raises. Nothing is
        left behind by a failure but a thread that hangs.
        """
        self.hung.check(config.name)
        limits = self._limits(config)
        try:
            return await self._load(config, backend, context, limits)
        except TookTooLong as error:
            cure = 'see what it waits for, or give it longer by parameters["load_timeout_seconds"]'
            raise InvalidConfig([Fault(context.where, error.message, cure)]) from error

    async def _load(
        self, config: ModelConfig, backend: Backend, context: LoadContext, limits: TimeLimits
    ) -> Model:
        memory = self.memory.begin()
        faults = Faults()
        check_affinity(config, usable_cores(), faults)
        faults.raise_if_any()
        context = replace(context, load_timeout_s=limits.load_s)
        config = await asyncio.to_thread(placed, config, backend)
        initial = await asyncio.to_thread(initial_states, config, context.path.parent)
        starting = Starting(self.clock, limits.load_s, self.hung)
        async with AsyncExitStack() as undo:
            permits = self._permits(config, undo)
            artifacts = await _opened(config, backend, context, starting, undo)
            *_, artifact = artifacts.values()  # each tells the same
            known = await asyncio.to_thread(_known, config, artifact.signature, context)
            config = _with_instances(known.config, artifact)
            places = [(artifacts[device], group) for device, group in posts(config)]
            made_up = not isinstance(backend, UserCodeBackend)
            make = starting.maker(places, known.engine, known.samples, made_up=made_up)
            pairs = []
            for number in range(config.instance_count):
                instance, executor = await make(number)
                undo.push_async_callback(executor.end, instance.close)
                pairs.append((instance, executor))
            undo.pop_all()
        name, version = config.name, context.version
        instances = Instances(name, version, self.clock, pairs, make, permits, limits, self.hung)
        statistics = Statistics(memory_bytes=memory.settle())
        return Model(
            config,
            version,
            self._scheduler(config, version, instances, initial, statistics),
            statistics,
            self.clock,
            tuple(artifacts.values()),
            self._share_of_cache(config, version),
            instances,
            known.labels,
            portable_of(artifact, known.engine, context),
        )

    def _limits(self, config: ModelConfig) -> TimeLimits:
        execution_s, load_s = config.execution_timeout_s, config.load_timeout_s
        return TimeLimits(
            execution_s=self.limits.execution_s if execution_s is None else execution_s,
            load_s=self.limits.load_s if load_s is None else load_s,
        )

    def _permits(self, config: ModelConfig, undo: AsyncExitStack) -> Sequence[Permit | None]:
        """What the instances wait for before each batch. Raises InvalidConfig."""
        if self.resources is None:
            return ()
        faults = Faults()
        permits = self.resources.join(config, faults)
        undo.callback(_leave, permits)
        faults.raise_if_any()
        return permits

    def _scheduler(
        self,
        config: ModelConfig,
        version: int,
        instances: Instances,
        initial: Mapping[str, np.ndarray],
        statistics: Statistics,
    ) -> Scheduler:
        """What the config asks for. initial: the states that a sequence begins with."""
        common = (statistics, self.clock, self.hold_until)
        if config.decoupled:
            return DecoupledScheduler(config, version, instances, *common)
        if config.sequence_batching:
            return SequenceScheduler(config, version, instances, initial, *common)
        return BatchScheduler(config, version, instances, *common)

    def _share_of_cache(self, config: ModelConfig, version: int) -> CacheShare | None:
        """Where the model's answers are kept. Without a cache it is served, too, as Triton does."""
        if not config.response_cache:
            return None
        if self.cache is None:
            extra = {"model": config.name, "version": version, "cure": "start with --cache-config"}
            log.warning("response_cache_off", extra=extra)
            return None
        return self.cache.share()

    def pipeline(
        self, config: ModelConfig, version: int, members: Models, folder: Path | None = None
    ) -> Model:
        """A pipeline over models that are loaded already. folder: where its label files lie."""
        faults = Faults()
        labels = labels_of(config, folder, faults) if folder else {}
        faults.raise_if_any()
        statistics = Statistics()
        scheduler: Scheduler = (
            LabelScheduler(config, task, version, members, self.vectors, statistics)
            if (task := config.label_task)
            else PipelineScheduler(config, version, members, statistics)
        )
        return Model(config, version, scheduler, statistics, self.clock, labels=labels)


@dataclass(frozen=True, slots=True)
class _Known:
    """A model once its artifact has told what its config leaves out.

    config: as clients see it; engine: with what the scheduler fills and keeps.
    """

    config: ModelConfig
    engine: ModelConfig
    samples: Sequence[Sample]
    labels: Labels


async def _opened(
    config: ModelConfig,
    backend: Backend,
    context: LoadContext,
    starting: Starting,
    undo: AsyncExitStack,
) -> dict[int | None, Artifact]:
    """The artifact, once for each device that the instances run on; closed by `undo`."""
    engine = engine_config(config)
    return {
        device: await starting.opened(backend, engine, there, undo)
        for device, there in contexts(config, context).items()
    }


def _known(written: ModelConfig, signature: Signature, context: LoadContext) -> _Known:
    """Raises InvalidConfig for what does not fit the artifact, and for files that are not there."""
    faults, folder = Faults(), context.path.parent
    engine = completed(engine_config(written), signature, context.where, faults)
    faults.raise_if_any()
    samples = samples_of(engine, folder, faults)
    config = client_config(engine, written)
    labels = labels_of(config, folder, faults)
    faults.raise_if_any()
    return _Known(config, engine, samples, labels)


def _leave(permits: Sequence[Permit | None]) -> None:
    for permit in permits:
        if permit is not None:
            permit.leave()


def _with_instances(config: ModelConfig, artifact: Artifact) -> ModelConfig:
    """The config with as many instances as suit the artifact where it names none."""
    if config.instance_groups:
        return config
    count = artifact.instances if isinstance(artifact, ElasticArtifact) else 1
    return replace(config, instance_groups=(InstanceGroup(count=count),))
