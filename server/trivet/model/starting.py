"""What engines are asked while a version loads: to open an artifact, to make an instance warm.

Each call has a thread of its own, which is left to itself if it hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from trivet.backend.contract import Artifact, Backend, Instance, LoadContext
from trivet.backend.first_answers import to_warm_up
from trivet.backend.reshaped import instance_of
from trivet.clock import Clock
from trivet.config import InstanceGroup, ModelConfig
from trivet.model.affinity import keep_to
from trivet.model.warm_up import Sample, warm_up
from trivet.scheduling.executor import Executor
from trivet.scheduling.instances import Make
from trivet.scheduling.watchdog import HungThreads, within


@dataclass(frozen=True, slots=True)
class Starting:
    """Calls the engine of one model. limit_s: seconds each call may take; 0: any time."""

    clock: Clock
    limit_s: float
    hung: HungThreads

    async def opened(
        self, backend: Backend, config: ModelConfig, context: LoadContext, undo: AsyncExitStack
    ) -> Artifact:
        """Open an artifact. What comes of it when nobody waits any more is closed in its thread.

        undo: closes it, later.
        """
        executor, opened = Executor(f"{config.name}-open"), list[Artifact]()

        def opening() -> Artifact:
            keep_to(config.cpu_affinity)
            opened.append(backend.open(config.reshaped, context))
            return opened[0]

        try:
            artifact = await within(self.limit_s, self.clock, executor, "opening it", opening)
        except asyncio.CancelledError:
            executor.retire(partial(_close_all, opened))
            raise
        except Exception:
            await executor.end(partial(_close_all, opened))
            self._note(executor, config)
            raise
        undo.callback(artifact.close)
        await executor.end(opened.clear)
        return artifact

    def maker(
        self,
        places: Sequence[tuple[Artifact, InstanceGroup]],
        config: ModelConfig,
        samples: Sequence[Sample],
        *,
        made_up: bool,
    ) -> Make:
        """How one more instance is made, kept to its cores and warmed up: at load, and again when
        one died.

        places: of each instance by its number, what it is made of and its group. made_up: whether a
        request that nobody wrote may be run.
        """

        async def make(number: int) -> tuple[Instance, Executor]:
            made: list[Instance] = []  # closed also if it comes when nobody waits for it any more
            artifact, group = places[number]
            own = replace(config, instance_groups=(group,))

            def ready() -> Instance:
                keep_to(config.cpu_affinity)
                made.append(instance_of(artifact, own))
                to_be_warm = to_warm_up(made[0], config)
                warm_up(to_be_warm, config, self.clock, samples, made_up=made_up)
                return made[0]

            async with AsyncExitStack() as undo:
                executor = Executor(f"{config.name}-{number}")
                undo.callback(self._note, executor, config)
                undo.push_async_callback(executor.end, partial(_close_all, made))
                what = "making and warming up an instance"
                instance = await within(self.limit_s, self.clock, executor, what, ready)
                undo.pop_all()
            return instance, executor

        return make

    def _note(self, executor: Executor, config: ModelConfig) -> None:
        """Count its thread if that hangs."""
        if executor.is_abandoned:
            self.hung.add(config.name, executor)


def _close_all(opened: Sequence[Artifact | Instance]) -> None:
    for each in opened:
        each.close()
