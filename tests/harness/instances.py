"""Instances for schedulers that are tested without a backend."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.backend.contract import Instance
from trivet.clock import Clock
from trivet.errors import EngineFailed
from trivet.scheduling.executor import Executor
from trivet.scheduling.instances import Instances
from trivet.testing.clock import ManualClock


def irreplaceable(
    pairs: Sequence[tuple[Instance, Executor]], clock: Clock | None = None
) -> Instances:
    """The instances of model 'm', of which none is made again when it dies."""

    async def make(number: int) -> tuple[Instance, Executor]:
        raise EngineFailed(f"there is no other instance {number}")

    return Instances("m", 1, clock or ManualClock(), pairs, make)
