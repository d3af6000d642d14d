"""A manager over repositories on disk, with one fake backend for all their models."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from pathlib import Path

import numpy as np

from trivet.backend.contract import Artifact, Backend, LoadContext
from trivet.config import ModelConfig
from trivet.errors import Fault, InvalidConfig
from trivet.repository.manager import Manager
from trivet.repository.registry import Registry
from trivet.repository.watcher import Watcher
from trivet.request import InferRequest
from trivet.testing.clock import ManualClock
from trivet_backends.fake import FakeBackend


class Bed:
    """What a test of the manager holds in its hands."""

    def __init__(
        self,
        *repositories: Path,
        gate: threading.Event | None = None,
        installed: Collection[str] = ("fake",),
        stand_in: bool = False,
    ) -> None:
        """stand_in: the fake backend stands in for all those installed."""
        self.backend = FakeBackend(gate)
        self.opened: list[str] = []
        self.registry = Registry()
        self.clock = ManualClock()
        self.watcher: Watcher | None = None
        self._names = installed if stand_in else ("fake",)
        self.manager = Manager(
            repositories, self.registry, installed, self._load_backend, self.clock, cores=2
        )

    def open(self, config: ModelConfig, context: LoadContext) -> Artifact:
        """As the backend that the manager loads: notes what is opened."""
        self.opened.append(context.where)
        return self.backend.open(config, context)

    def _load_backend(self, name: str) -> Backend:
        if name in self._names:
            return self
        raise InvalidConfig([Fault(f"backend '{name}'", "there is no such backend", "use fake")])

    async def follow(self) -> None:
        """Look at the repositories and make what is served equal to them."""
        snapshot = await self.manager.look()
        self.manager.show(snapshot)
        await self.manager.reconcile(snapshot)

    async def departures(self) -> None:
        """Wait until what is on its way out is gone."""
        if waiting := self.manager.departing():
            await asyncio.wait(waiting)

    async def end(self) -> None:
        await self.manager.unload_all()
        assert not [t for t in threading.enumerate() if t.name.startswith("echo-")]

    @property
    def faults(self) -> list[Fault]:
        return [fault for faults in self.manager.faults.values() for fault in faults]

    def index(self) -> dict[str, str]:
        """State and reason of every version: "echo/1" -> "READY"."""
        return {
            f"{entry.name}/{entry.version}": " ".join((entry.state.value, entry.reason)).strip()
            for entry in self.registry.index()
        }

    async def echo(self, model: str, version: int | str | None = None) -> int:
        """Ask for an echo; returns the version that answered."""
        with self.registry.acquire(model, version) as served:
            array = np.arange(6, dtype=np.float32).reshape(2, 3)
            answer = await served.infer(InferRequest(model=model, inputs={"IN": array}))
        assert (answer.outputs["OUT"] == array).all()
        return answer.version
