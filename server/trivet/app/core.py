"""What serves models, whoever asks and however."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from trivet import plugins
from trivet.app.config import ServerConfig
from trivet.backend.cores import granted_cores
from trivet.backend.gpus import devices
from trivet.clock import Clock, SystemClock
from trivet.config_file import Faults
from trivet.model.cache import ResponseCache
from trivet.repository.control import Control
from trivet.repository.manager import Manager
from trivet.repository.registry import Registry
from trivet.scheduling.labelling.vectors import Vectors
from trivet.scheduling.rate_limit import Limit, check_limits
from trivet.scheduling.resources import ResourcePool


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The models, who loads them, and what they share; None: there is none.

    started: set when all that is to be served from the start on was tried. draining: set when the
    server takes leave.
    """

    clock: Clock
    registry: Registry
    control: Control
    cache: ResponseCache | None
    resources: ResourcePool | None
    vectors: Vectors
    started: asyncio.Event
    draining: asyncio.Event


def core_of(config: ServerConfig) -> Core:
    """Nothing is read or loaded yet.

    Raises InvalidConfig for resources of a device that there is not.
    """
    clock, registry, vectors = SystemClock(), Registry(), Vectors()
    cache = ResponseCache(config.cache_bytes) if config.cache_bytes else None
    resources = _resources(config.rate_limits)
    manager = Manager(
        config.repositories,
        registry,
        plugins.backends(),
        partial(plugins.load_backend, user_code=config.allow_python_backend),
        clock,
        granted_cores(),
        cache=cache,
        hold_until=config.hold_until,
        resources=resources,
        vectors=vectors,
        limits=config.time_limits,
    )
    return Core(
        clock=clock,
        registry=registry,
        control=Control(manager, clock, config.control),
        cache=cache,
        resources=resources,
        vectors=vectors,
        started=asyncio.Event(),
        draining=asyncio.Event(),
    )


def _resources(limits: tuple[Limit, ...] | None) -> ResourcePool | None:
    if limits is None:
        return None
    faults = Faults()
    check_limits(limits, devices(), faults)
    faults.raise_if_any()
    return ResourcePool(limits)
