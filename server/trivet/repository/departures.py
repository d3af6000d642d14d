"""Versions on their way out: each is closed when its last user has left and no sequence is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection

from trivet.model.model import Model
from trivet.repository.entry import Leaving
from trivet.repository.registry import UNLOADED, Registry

log = logging.getLogger(__name__)

Departure = asyncio.Task[None]


class Departures:
    """Takes versions out of the registry, and closes loads whose place another has taken."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._under_way: dict[Departure, Model | None] = {}  # the pipeline that goes, if it is one

    def retire(self, model: Model, reason: str = UNLOADED, *, succeeded: bool = False) -> Departure:
        """Take a version out when the pipelines that went before it, and may call it, are gone.

        succeeded: see `Registry.retire`.
        """
        pipelines = [task for task, pipeline in self._under_way.items() if pipeline]

        async def retired() -> Model | None:
            if pipelines:
                await asyncio.wait(pipelines)
            name, version = model.config.name, model.version
            if self._registry.served(name, version) is not model:
                return None  # it was wanted again meanwhile, and another has taken its place
            return await self._registry.retire(name, version, reason, succeeded=succeeded)

        return self._begin(model, retired())

    def replaced(self, leaving: Leaving, successor: Model) -> Departure:
        """Close a load that gave its place to another of the same version."""
        return self._begin(successor, leaving.drained())

    def under_way(self) -> Collection[Departure]:
        """Those that are not done yet."""
        return tuple(self._under_way)

    async def done(self) -> None:
        """Wait until nothing is on its way out any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _begin(self, model: Model, drained: Awaitable[Model | None]) -> Departure:
        task = asyncio.create_task(_close(model.config.name, model.version, drained))
        self._under_way[task] = model if model.config.is_pipeline else None
        task.add_done_callback(lambda task: self._under_way.pop(task))
        return task


async def _close(name: str, version: int, drained: Awaitable[Model | None]) -> None:
    extra = {"model": name, "version": version}
    model = await drained
    if model is None:
        return
    try:
        await model.close()
    except Exception as error:  # an engine may raise anything; the model is gone all the same
        log.error("model_not_closed", exc_info=error, extra=extra)
    log.info("model_unloaded", extra=extra)
