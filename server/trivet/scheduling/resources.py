"""The accounts of the rate limiter: who holds which resources, who waits for them, in what turn.

One for all models of a server; touched from the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import TypeVar

from trivet.config import ModelConfig
from trivet.config_file import Faults
from trivet.scheduling.rate_limit import (
    Amounts,
    Limit,
    Resource,
    Waiting,
    amounts,
    check_needs,
    granted,
    needs_of,
)

T = TypeVar("T")


class Permit:
    """One instance's right to run, which it has while it holds the resources that it needs.

    Turns are shared fairly: each run moves an instance back by its priority; one that had nothing
    to run for long, or is new, begins where the others are, so that it cannot make up for it.
    """

    def __init__(self, pool: ResourcePool, needs: Amounts, priority: int) -> None:
        self._pool = pool
        self._priority = priority
        self._next_turn = 0
        self.needs = needs
        self.turn = (0, 0)

    @property
    def is_wanted(self) -> bool:
        """Whether others wait for what this one holds."""
        return self._pool.is_wanted(self.needs)

    async def acquire(self) -> None:
        """Wait until all that is needed is there, and take it. Call `release` when it has run."""
        self.turn = self._pool.turn_from(self._next_turn)
        await self._pool.take(self)

    def release(self, *, used: bool = True) -> None:
        """Give everything back. used: False if there was nothing to run."""
        if used:
            self._next_turn = self.turn[0] + self._priority
        self._pool.give_back(self)

    def leave(self) -> None:
        """The instance is no more."""
        self._pool.leave(self)


class ResourcePool:
    """All resources of a server."""

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        """limits: what an operator gave; of the rest there is as much as the largest need."""
        self._limits = tuple(limits)
        self._members: list[Permit] = []
        self._amounts: dict[Resource, int] = {}
        self._held: list[Permit] = []
        self._waiting: dict[Permit, asyncio.Future[None]] = {}
        self._granting: asyncio.Handle | None = None
        self._arrivals = count()
        self._turn = 0  # of the one that was granted last

    def join(self, config: ModelConfig, faults: Faults) -> list[Permit | None]:
        """A permit for each instance of a model, in order; None for those that need nothing.

        What cannot be is added to `faults`, and nobody joins.
        """
        found = len(faults)
        known = {resource for member in self._members for resource in member.needs}
        where = f"{config.name}/config.pbtxt"
        check_needs(config.instance_groups, where, known, self._limits, faults)
        if len(faults) > found:
            return []
        permits = [
            Permit(self, needs_of(group, device), group.priority) if group.resources else None
            for group in config.instance_groups
            for device in group.devices
            for _ in range(group.count)
        ]
        self._members += [permit for permit in permits if permit is not None]
        self._recount()
        return permits

    def leave(self, permit: Permit) -> None:
        if permit in self._members:
            self._members.remove(permit)
        self._recount()
        self.give_back(permit)

    @property
    def use(self) -> Mapping[Resource, tuple[int, int]]:
        """Of each resource: how many permits there are, and how many are held."""
        free = self._free()
        return {name: (count, count - free[name]) for name, count in self._amounts.items()}

    @property
    def waiting(self) -> int:
        """Instances that wait."""
        return len(self._waiting)

    def turn_from(self, earliest: int) -> tuple[int, int]:
        """The turn of one that comes now and has had its turns up to `earliest`."""
        return max(earliest, self._turn), next(self._arrivals)

    def is_wanted(self, needs: Amounts) -> bool:
        return any(not needs.keys().isdisjoint(permit.needs) for permit in self._waiting)

    async def take(self, permit: Permit) -> None:
        """Wait until the permit is granted. Given up while it waits, it leaves no trace."""
        grant = asyncio.get_running_loop().create_future()
        self._waiting[permit] = grant
        self._grant()
        try:
            await grant
        except asyncio.CancelledError:
            self.give_back(permit)
            raise

    def give_back(self, permit: Permit) -> None:
        """Whatever it holds or waits for."""
        self._waiting.pop(permit, None)
        if permit in self._held:
            self._held.remove(permit)
        # Soon, not now: who gives back may want to run again, and it may be its turn.
        if self._waiting and self._granting is None:
            self._granting = asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        self._granting = None
        # One whose caller was cancelled just now is about to leave.
        permits = [permit for permit, grant in self._waiting.items() if not grant.done()]
        waiting = [Waiting(permit.turn, permit.needs) for permit in permits]
        for position in granted(waiting, self._free()):
            permit = permits[position]
            self._held.append(permit)
            self._turn = max(self._turn, permit.turn[0])
            self._waiting.pop(permit).set_result(None)

    def _free(self) -> dict[Resource, int]:
        free = dict(self._amounts)
        for permit in self._held:
            for resource, needed in permit.needs.items():
                free[resource] = free.get(resource, 0) - needed
        return free

    def _recount(self) -> None:
        self._amounts = amounts((member.needs for member in self._members), self._limits)


async def permitted(
    permit: Permit, wait_due: Callable[[], Awaitable[object]], take_due: Callable[[], T]
) -> T:
    """Wait until there is something to run, then for the permit, then take what there is by then.

    take_due: something, or nothing (what is empty) if others took it meanwhile. The permit is held
    on return.
    """
    while True:
        await wait_due()
        await permit.acquire()
        if taken := take_due():
            return taken
        permit.release(used=False)
