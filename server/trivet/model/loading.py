"""From a version's folder to a model that is ready, or an error that says why not."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from trivet.backend.contract import Artifact, Backend, Instance, LoadContext
from trivet.backend.first_answers import to_warm_up
from trivet.backend.reshaped import instance_of
from trivet.clock import Clock
from trivet.config import ModelConfig
from trivet.config_file import Faults
from trivet.model.completion import completed
from trivet.model.model import Model
from trivet.model.warm_up import warm_up
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.decoupled import DecoupledScheduler
from trivet.scheduling.executor import Executor
from trivet.scheduling.pipeline import Members, PipelineScheduler
from trivet.scheduling.scheduler import Scheduler
from trivet.scheduling.sequence import SequenceScheduler
from trivet.scheduling.sequence_tensors import client_config, engine_config, initial_states
from trivet.telemetry.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Loader:
    """What every load needs: the clock, and the cores that all instances of a model share."""

    clock: Clock
    cores: int
    hold_until: int = 0  # requests that must wait before a scheduler takes its first batch

    def threads(self, config: ModelConfig) -> int:
        """Cores for each instance: never more engine threads than cores, and at least one."""
        return max(1, self.cores // _instances(config))

    async def load(self, config: ModelConfig, backend: Backend, context: LoadContext) -> Model:
        """Open the artifact, make and warm up the instances.

        config: as written; what the artifact tells is filled in. Raises InvalidConfig for what is
        wrong with the files, else what the engine raises. Nothing is left behind by a failure.
        """
        written, engine = config, engine_config(config)
        initial = await asyncio.to_thread(initial_states, config, context.path.parent)
        async with AsyncExitStack() as undo:
            artifact = await asyncio.to_thread(backend.open, engine.reshaped, context)
            undo.callback(artifact.close)
            faults = Faults()
            engine = completed(engine, artifact.signature, context.where, faults)
            faults.raise_if_any()
            config = client_config(engine, written)
            instances = [
                await self._instance(artifact, engine, f"{config.name}-{number}", undo)
                for number in range(_instances(config))
            ]
            undo.pop_all()
        statistics = Statistics()
        scheduler: Scheduler
        if config.decoupled:
            scheduler = DecoupledScheduler(
                config, context.version, instances, statistics, self.clock, self.hold_until
            )
        elif config.sequence_batching:
            scheduler = SequenceScheduler(
                config, context.version, instances, initial, statistics, self.clock, self.hold_until
            )
        else:
            scheduler = BatchScheduler(
                config, context.version, instances, statistics, self.clock, self.hold_until
            )
        return Model(config, context.version, scheduler, statistics, self.clock, (artifact,))

    async def _instance(
        self, artifact: Artifact, config: ModelConfig, thread: str, undo: AsyncExitStack
    ) -> tuple[Instance, Executor]:
        executor = Executor(thread)
        undo.push_async_callback(executor.close)
        instance = await executor.run(instance_of, artifact, config)
        undo.push_async_callback(executor.run, instance.close)
        await executor.run(warm_up, to_warm_up(instance, config), config, self.clock)
        return instance, executor

    def pipeline(self, config: ModelConfig, version: int, members: Members) -> Model:
        """A pipeline over models that are loaded already."""
        statistics = Statistics()
        scheduler = PipelineScheduler(config, version, members, statistics)
        return Model(config, version, scheduler, statistics, self.clock)


def _instances(config: ModelConfig) -> int:
    return sum(group.count for group in config.instance_groups)
