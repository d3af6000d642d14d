"""`instance_group.rate_limiter`: what an instance takes while it runs, and its share of turns."""

from __future__ import annotations

from trivet.config import InstanceGroup, ResourceNeed
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb


def resource_needs(
    message: pb.ModelRateLimiter, where: str, faults: Faults
) -> tuple[ResourceNeed, ...]:
    """where: the group's place, e.g. "m/config.pbtxt: instance_group[0]"."""
    needs: list[ResourceNeed] = []
    for index, told in enumerate(message.resources):
        at = f"{where}.rate_limiter.resources[{index}]"
        if not told.name:
            faults.add(f"{at}.name", "is missing", "name the resource as other models name it")
        elif any(need.name == told.name for need in needs):
            faults.add(f"{at}.name", f"'{told.name}' is there already", "write one of them")
        if not told.count:
            what = "is 0, and nothing would be taken"
            faults.add(f"{at}.count", what, "write 1 or more, or remove the resource")
        is_global = bool(getattr(told, "global"))
        needs.append(ResourceNeed(name=told.name, count=told.count, is_global=is_global))
    return tuple(needs)


def turn_priority(message: pb.ModelRateLimiter) -> int:
    """1 unless it is said otherwise; 0 means 1, as in Triton."""
    return max(1, message.priority)


def to_rate_limiter(group: InstanceGroup) -> pb.ModelRateLimiter | None:
    """None for a group that neither needs anything nor has a priority of its own."""
    if not group.resources and group.priority == 1:
        return None
    resources = [
        pb.ModelRateLimiter.Resource(name=need.name, count=need.count, **{"global": need.is_global})
        for need in group.resources
    ]
    return pb.ModelRateLimiter(resources=resources, priority=group.priority)
