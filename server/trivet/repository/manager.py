"""Makes what is served equal to what lies on disk: inspects, loads, publishes, takes out.

It acts; what to act on is decided by the pure functions of `goals` and `versions`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trivet.backend.cores import Cores
from trivet.clock import Clock
from trivet.config_file import Faults
from trivet.errors import Fault
from trivet.model.cache import ResponseCache
from trivet.model.loading import Loader
from trivet.repository.departures import Departure, Departures
from trivet.repository.entries import NO_VERSION
from trivet.repository.goals import Goal, doomed, goals
from trivet.repository.inspection import Inspected, LoadBackend, inspect_alone, inspect_together
from trivet.repository.layout import Reader, Snapshot
from trivet.repository.loads import CannotStart, Loads
from trivet.repository.registry import UNLOADED, Registry
from trivet.repository.telling import Telling
from trivet.repository.versions import Held, Load, Unload, load_order, next_action
from trivet.scheduling.labelling.vectors import Vectors
from trivet.scheduling.resources import ResourcePool
from trivet.scheduling.watchdog import TimeLimits

log = logging.getLogger(__name__)


class Manager:
    """Loads the models of the repositories into the registry, and takes them out again."""

    def __init__(
        self,
        repositories: Sequence[Path],
        registry: Registry,
        installed: Collection[str],
        load_backend: LoadBackend,
        clock: Clock,
        cores: int,
        *,
        cache: ResponseCache | None = None,
        hold_until: int = 0,
        resources: ResourcePool | None = None,
        vectors: Vectors | None = None,
        limits: TimeLimits | None = None,
    ) -> None:
        """installed: the names of the backends there are. load_backend: a backend by its name.

        hold_until: requests that must wait before a scheduler takes its first batch, for tests.
        limits: how long engines may take; None: as long as they like.
        """
        self._reader = Reader(repositories)
        self._registry = registry
        self._installed = installed
        self._clock = clock
        loader = Loader(
            clock,
            Cores(cores),
            cache=cache,
            hold_until=hold_until,
            resources=resources,
            vectors=Vectors() if vectors is None else vectors,
            limits=limits or TimeLimits(),
        )
        self._loads = Loads(load_backend, loader, registry, cores)
        self._departures = Departures(registry)
        self._telling = Telling(registry)
        self._inspected: dict[str, Inspected] = {}  # each alone, as its folder was then
        self._held: dict[str, dict[int, Held]] = {}
        self._acting = asyncio.Lock()
        self._started = False

    @property
    def faults(self) -> Mapping[str, Sequence[Fault]]:
        """What the last `reconcile` could not do, by model; "" for what has no name to go by."""
        return self._telling.faults

    async def look(self) -> Snapshot:
        """Read the repositories. Quick: no artifact is opened.

        Raises InvalidConfig if a repository cannot be read and never could.
        """
        unreadable = Faults()
        snapshot = await asyncio.to_thread(self._reader.read, unreadable)
        self._telling.looked(unreadable, snapshot)
        return snapshot

    def inspect(self, snapshot: Snapshot) -> Mapping[str, Inspected]:
        """Each model by itself; one whose folder did not change is not inspected again."""
        known, self._inspected = self._inspected, {}
        for folder in snapshot.folders:
            model = known.get(folder.name)
            if model is None or model.folder is not folder:
                model = inspect_alone(folder, self._installed)
            self._inspected[folder.name] = model
        return self._inspected

    def show(self, snapshot: Snapshot, names: Collection[str] | None = None) -> None:
        """Show in the registry what `reconcile` will load."""
        for goal in self._goals(snapshot, names):
            for version in goal.desired:
                self._registry.loading(goal.model.name, version, counts=not self._started)

    async def reconcile(
        self, snapshot: Snapshot, names: Collection[str] | None = None, *, quiet: bool = False
    ) -> None:
        """Make what is served equal to a snapshot; versions that go are not waited for.

        names: the models to serve; None: all. quiet: faults go to `faults` and the registry, and
        not to the log. New versions are warm before old ones drain, and what fails leaves what
        serves as it is.
        """
        async with self._acting:
            self._telling.begin(quiet=quiet)
            aims = self._goals(snapshot, names)
            gone = self._held.keys() - {goal.model.name for goal in aims} - snapshot.broken.keys()
            reasons = {goal.model.name: goal.faults for goal in aims}
            serving = {model.config.name: model.config for model in self._registry.models()}
            self._take_out(doomed(aims, serving, gone), reasons)
            models = [goal for goal in aims if not goal.is_pipeline]
            await asyncio.gather(*(self._bring(goal) for goal in models))
            for goal in aims:
                if goal.is_pipeline:
                    await self._bring(goal)
            for goal in models:
                self._unload_surplus(goal)
            self._take_out(gone, reasons)
            self._tell(snapshot, aims, names)
            self._started = True

    def try_again(self, name: str) -> None:
        """Let the next `reconcile` load what failed before, although nothing changed."""
        versions = self._held.get(name, {})
        for version, held in list(versions.items()):
            versions[version] = replace(held, failed="")

    def serves(self, name: str) -> bool:
        """Whether any version of a model answers requests."""
        return any(held.serving for held in self._held.get(name, {}).values())

    def show_idle(self, snapshot: Snapshot, names: Collection[str]) -> None:
        """Show what is there and not asked for, what serves and cannot be seen, and no more what is
        neither there nor served.
        """
        self._telling.away(snapshot.away)
        self._telling.clean_up(snapshot, names)

    def departing(self) -> Collection[Departure]:
        """What is on its way out."""
        return self._departures.under_way()

    async def unload_all(self) -> None:
        """Take every model out, pipelines first, each when its last user has left."""
        self._take_out(self._held.keys(), {})
        await self._departures.done()

    def _goals(self, snapshot: Snapshot, names: Collection[str] | None) -> tuple[Goal, ...]:
        alone = self.inspect(snapshot)
        chosen = [model for name, model in alone.items() if names is None or name in names]
        idle = [name for name in alone if names is not None and name not in names]
        return goals(*inspect_together(chosen, snapshot.broken, idle))

    async def _bring(self, goal: Goal) -> None:
        """Load what is desired of one model and not served; then unload what is not desired."""
        if goal.faults:
            return
        held = self._held.setdefault(goal.model.name, {})
        desired = self._desired(goal)
        for version in desired:
            if held.get(version, Held()) == Held():
                self._registry.loading(goal.model.name, version, counts=not self._started)
        while isinstance(action := next_action(desired, held), Load):
            version, before = action.version, held.get(action.version, Held())
            held[version] = await self._load(goal.model, version, desired[version], before)
        self._unload_surplus(goal)
        self._relabel(goal)

    def _desired(self, goal: Goal) -> Mapping[int, str]:
        """A pipeline is looked at again whenever one of its members is another."""
        if not goal.is_pipeline or goal.model.config is None:
            return goal.desired
        members = [
            (step.model, version, held.serving)
            for step in goal.model.config.steps
            for version, held in sorted(self._held.get(step.model, {}).items())
        ]
        return {version: f"{own}+{members}" for version, own in goal.desired.items()}

    async def _load(self, model: Inspected, version: int, revision: str, before: Held) -> Held:
        started_ns = self._clock.now_ns()
        try:
            if _is_same_pipeline(before.serving, revision):
                self._loads.check_members(model)
                return Held(serving=revision)
            loaded = await self._loads.load(model, version)
        except CannotStart as error:
            self._telling.failed(model.name, version, error.faults, error.cause)
            if before.serving and not self._fits(model.name, version):
                self._depart(model.name, version, str(error))
                return Held(failed=revision)
            return replace(before, failed=revision)
        if leaving := self._registry.publish(loaded):
            self._departures.replaced(leaving, loaded)
        seconds = (self._clock.now_ns() - started_ns) / 1e9
        extra = {"model": model.name, "version": version, "seconds": f"{seconds:.2f}"}
        log.info("model_ready", extra=extra)
        return Held(serving=revision)

    def _fits(self, name: str, version: int) -> bool:
        """Whether what serves can serve on: a pipeline needs the members that it was made for."""
        model = self._registry.served(name, version)
        config = model.config if model else None
        return config is None or not config.is_pipeline or self._loads.fits_members(config)

    def _unload_surplus(self, goal: Goal) -> None:
        """Unload what is not desired; not what a pipeline that serves still calls by number."""
        if goal.faults:
            return
        name, desired = goal.model.name, self._desired(goal)
        held = self._held[name]
        while isinstance(action := next_action(desired, held), Unload):
            if self._is_pinned(name, action.version):
                return
            if held.pop(action.version).serving:
                self._depart(name, action.version, succeeded=bool(desired))

    def _is_pinned(self, name: str, version: int) -> bool:
        """Whether a pipeline that serves calls this version by its number."""
        return any(
            (step.model, step.version) == (name, version)
            for model in self._registry.models()
            for step in model.config.steps
        )

    def _relabel(self, goal: Goal) -> None:
        """What only says which versions there are and what they are called takes no new load."""
        config = goal.model.config
        desired, held = self._desired(goal), self._held[goal.model.name]
        if config is None or any(held[version].serving != desired[version] for version in desired):
            return
        for model in self._registry.versions(goal.model.name).values() if desired else ():
            model.config = replace(
                model.config, version_policy=config.version_policy, parameters=config.parameters
            )

    def _take_out(self, names: Iterable[str], reasons: Mapping[str, Collection[Fault]]) -> None:
        """Take models out, pipelines before what they call."""
        configs = {model.config.name: model.config for model in self._registry.models()}
        callers_first = load_order(configs.values(), Faults())[::-1]
        for name in sorted(names, key=lambda name: _place(name, callers_first)):
            reason = "; ".join(map(str, reasons.get(name, ()))) or UNLOADED
            for version, held in self._held.pop(name, {}).items():
                if held.serving:
                    self._depart(name, version, reason)

    def _depart(
        self, name: str, version: int, reason: str = UNLOADED, *, succeeded: bool = False
    ) -> None:
        if model := self._registry.served(name, version):
            self._departures.retire(model, reason, succeeded=succeeded)

    def _tell(
        self, snapshot: Snapshot, aims: Iterable[Goal], names: Collection[str] | None
    ) -> None:
        """Show and log what is wrong, and no more what is not."""
        self._telling.left_out(everything=names is None)
        for name, fault in snapshot.broken.items():
            if names is None or name in names:
                self._telling.failed(name, NO_VERSION, [fault])
        for goal in aims:
            if goal.faults:
                self._telling.failed(goal.model.name, NO_VERSION, goal.faults)
                continue
            self._telling.mended(goal.model.name, NO_VERSION)
            desired = self._desired(goal)
            for version, held in self._held[goal.model.name].items():
                if held.serving and held.serving == desired.get(version):
                    self._telling.mended(goal.model.name, version)
        self._telling.away(snapshot.away)
        self._telling.clean_up(snapshot, names)


def _is_same_pipeline(one: str, other: str) -> bool:
    """Whether two revisions are of one pipeline, and only its members changed."""
    return "+" in one and one.partition("+")[0] == other.partition("+")[0]


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)
