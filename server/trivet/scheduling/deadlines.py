"""How long a request may wait, and before whom it is served: pure functions over values."""

from __future__ import annotations

from trivet.config import Priorities, QueuePolicy
from trivet.request import Parameters

NEVER = 0  # expires_ns of a request that may wait for ever


def level_of(parameters: Parameters, priorities: Priorities) -> int:
    """The priority level of a request, 1 served first; 0 for a model without levels.

    A request that names none (0 or absent), or one that does not exist, is of the default level.
    """
    if not priorities.levels:
        return 0
    asked = _whole(parameters, "priority")
    return asked if 1 <= asked <= priorities.levels else priorities.default_level


def timeout_us(parameters: Parameters, policy: QueuePolicy) -> int:
    """How many microseconds a request may wait; 0: any number.

    A request may only shorten its timeout, and only where the policy lets it. Where the policy
    has none, whatever a request asks for is shorter.
    """
    if not policy.allow_timeout_override:
        return policy.timeout_us
    asked = _whole(parameters, "timeout")
    if asked <= 0:
        return policy.timeout_us
    return min(asked, policy.timeout_us) if policy.timeout_us else asked


def expiry_ns(queued_ns: int, parameters: Parameters, policy: QueuePolicy) -> int:
    """When a request's timeout expires, on the clock of `queued_ns`; NEVER if it has none."""
    allowed_us = timeout_us(parameters, policy)
    return queued_ns + allowed_us * 1_000 if allowed_us else NEVER


def has_expired(expires_ns: int, now_ns: int) -> bool:
    """Whether a request has waited its timeout to the end."""
    return expires_ns != NEVER and now_ns >= expires_ns


def expired_message(model: str, waited_us: int, allowed_us: int) -> str:
    """What the caller of a rejected request reads; its first words are Triton's."""
    return (
        f"model '{model}': Request timeout expired: it waited {waited_us} us in the queue, its"
        f" timeout is {allowed_us} us; retry later, or raise default_timeout_microseconds"
    )


def _whole(parameters: Parameters, name: str) -> int:
    value = parameters.get(name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
