"""Who of the instances that wait for resources may run: pure. `resources` keeps the accounts.

The meaning is Triton's (rate_limiter in config.pbtxt, --rate-limit, --rate-limit-resource): a
resource is a number of permits by name, on each device or for all; an instance runs while it
holds all it needs; one of priority 2 gets half the turns of one of priority 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trivet.config import InstanceGroup

if TYPE_CHECKING:
    from trivet.config_file import Faults

Resource = tuple[str, int | None]  # name and device; None: one pool for all devices
Amounts = Mapping[Resource, int]

FLAG = "--rate-limit-resource"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much there is of a resource, as an operator says. device: None: on each of them."""

    name: str
    count: int
    device: int | None = None

    def __str__(self) -> str:
        device = "" if self.device is None else f":{self.device}"
        return f"{self.name}:{self.count}{device}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An instance that has a batch to run. turn: the lower, the earlier it is served."""

    turn: tuple[int, int]
    needs: Amounts


def granted(waiting: Sequence[Waiting], free: Amounts) -> tuple[int, ...]:
    """The positions of those that may run now.

    What one needs that must wait on is kept for it, so that nobody who comes later can starve it;
    others run meanwhile on what it does not need.
    """
    left = dict(free)
    positions = []
    for position in sorted(range(len(waiting)), key=lambda position: waiting[position].turn):
        needs = waiting[position].needs
        if all(left.get(resource, 0) >= count for resource, count in needs.items()):
            positions.append(position)
        for resource, count in needs.items():
            left[resource] = left.get(resource, 0) - count
    return tuple(positions)


def needs_of(group: InstanceGroup, device: int | None) -> Amounts:
    """What each instance of a group on a device takes while it runs; the CPU is device 0."""
    own = device or 0
    return {(need.name, None if need.is_global else own): need.count for need in group.resources}


def amounts(needs: Iterable[Amounts], limits: Sequence[Limit]) -> dict[Resource, int]:
    """How much there is of each resource that is needed: what was given, else the largest need."""
    largest: dict[Resource, int] = {}
    for one in needs:
        for resource, count in one.items():
            largest[resource] = max(count, largest.get(resource, 0))
    return {
        resource: count if (given := amount_given(resource, limits)) is None else given
        for resource, count in largest.items()
    }


def amount_given(resource: Resource, limits: Sequence[Limit]) -> int | None:
    """The most that an operator gave of a resource; None: nothing was said of it."""
    name, device = resource
    counts = [
        limit.count
        for limit in limits
        if limit.name == name and (device is None or limit.device in (None, device))
    ]
    if not counts and any(limit.name == name for limit in limits):
        return 0  # it was given to other devices only
    return max(counts, default=None)


def check_limits(limits: Sequence[Limit], devices: Collection[int], faults: Faults) -> None:
    """What an operator gave is given to devices that there are."""
    for limit in limits:
        if limit.device is not None and limit.device not in devices:
            known = ", ".join(map(str, sorted(devices)))
            cure = f"name one of {known} (the CPU is device 0), or none, for every device"
            faults.add(f"{FLAG}={limit}", f"there is no device {limit.device}", cure)


def check_needs(
    groups: Sequence[InstanceGroup],
    where: str,
    known: Collection[Resource],
    limits: Sequence[Limit],
    faults: Faults,
) -> None:
    """A model's instances can run at all with what there is. known: what other models need."""
    own = {
        resource
        for group in groups
        for device in group.devices
        for resource in needs_of(group, device)
    }
    for index, group in enumerate(groups):
        for number, need in enumerate(group.resources):
            resources = [
                (need.name, None if need.is_global else device or 0) for device in group.devices
            ]
            at = f"{where}: instance_group[{index}].rate_limiter.resources[{number}]"
            amounts_given = (amount_given(resource, limits) for resource in resources)
            given = min((amount for amount in amounts_given if amount is not None), default=None)
            if given is not None and given < need.count:
                what = f"is {need.count}, and the server has {given} of '{need.name}'"
                cure = f"lower it, or start the server with {FLAG}={need.name}:{need.count}"
                faults.add(f"{at}.count", what, cure)
            if any(_clashes(resource, own | set(known)) for resource in resources):
                what = f"'{need.name}' is global here and on each device elsewhere"
                if not need.is_global:
                    what = f"'{need.name}' is on each device here and global elsewhere"
                faults.add(f"{at}.global", what, "write the same in every model")


def _clashes(resource: Resource, known: Collection[Resource]) -> bool:
    name, device = resource
    return any(other == name and (on is None) != (device is None) for other, on in known)
