"""How long requests may wait and who goes first: the queue policies of dynamic_batching.

dynamic_batching {
  priority_levels: 2  default_priority_level: 2
  default_queue_policy { default_timeout_microseconds: 50000  max_queue_size: 256 }
  priority_queue_policy { key: 1 value { timeout_action: DELAY default_timeout_microseconds: 500 } }
}
parameters { key: "max_inflight_requests" value { string_value: "64" } }    of pipelines, too
"""

from __future__ import annotations

from collections.abc import Mapping

from trivet.config import ModelConfig, Priorities, QueuePolicy, TimeoutAction
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

_ACTIONS = {
    pb.ModelQueuePolicy.REJECT: TimeoutAction.REJECT,
    pb.ModelQueuePolicy.DELAY: TimeoutAction.DELAY,
}


_INFLIGHT = "max_inflight_requests"


def max_inflight_requests(parameters: Mapping[str, str], where: str, faults: Faults) -> int:
    """How many requests may be under way, from arrival to answer; 0: any."""
    written = parameters.get(_INFLIGHT, "0")
    if written.isascii() and written.isdecimal() and len(written) < 10:
        return int(written)
    what = f"'{written}' is no number of requests"
    faults.add(f'{where}: parameters["{_INFLIGHT}"]', what, "write 0, for any, or more")
    return 0


def queue_policy(message: pb.ModelDynamicBatching, where: str, faults: Faults) -> QueuePolicy:
    """The policy of every level that has none of its own. where: of dynamic_batching."""
    policy = _policy(message.default_queue_policy, f"{where}.default_queue_policy", faults)
    _check_order(message, policy, f"{where}.default_queue_policy", faults)
    return policy


def priorities(message: pb.ModelDynamicBatching, where: str, faults: Faults) -> Priorities:
    """The levels of priority and their own policies. where: of dynamic_batching."""
    levels, default = message.priority_levels, message.default_priority_level
    if default > levels or (levels and not default):
        what = (
            f"is {default}, must be 1 to priority_levels ({levels})" if levels else "has no levels"
        )
        cure = "say which level requests have that name none" if levels else "set priority_levels"
        faults.add(f"{where}.default_priority_level", what, f"{cure}, or remove both")
    if message.preserve_ordering and levels > 1:
        what = "requests of a higher level would wait for the answers of lower ones"
        faults.add(f"{where}.preserve_ordering", what, "remove it, or priority_levels")
    policies = {}
    for level, policy in sorted(message.priority_queue_policy.items()):
        at = f"{where}.priority_queue_policy[{level}]"
        if not 1 <= level <= levels:
            what = f"there is no level {level}, priority_levels is {levels}"
            faults.add(at, what, "write a level from 1 on, or raise priority_levels")
        policies[level] = _policy(policy, at, faults)
        _check_order(message, policies[level], at, faults)
    return Priorities(levels=levels, default_level=default, policies=policies)


def write_queueing(config: ModelConfig, target: pb.ModelDynamicBatching) -> None:
    """Give back what `queue_policy` and `priorities` have read; defaults are left out."""
    if config.queue_policy != QueuePolicy():
        target.default_queue_policy.CopyFrom(_message(config.queue_policy))
    target.priority_levels = config.priorities.levels
    target.default_priority_level = config.priorities.default_level
    for level, policy in config.priorities.policies.items():
        target.priority_queue_policy[level].CopyFrom(_message(policy))


def _policy(message: pb.ModelQueuePolicy, where: str, faults: Faults) -> QueuePolicy:
    policy = QueuePolicy(
        max_size=message.max_queue_size,
        timeout_us=message.default_timeout_microseconds,
        timeout_action=_ACTIONS[message.timeout_action],
        allow_timeout_override=message.allow_timeout_override,
    )
    if policy.timeout_action is TimeoutAction.DELAY and not _may_expire(policy):
        cure = "set default_timeout_microseconds, or remove it"
        faults.add(f"{where}.timeout_action", "DELAY needs a timeout", cure)
    return policy


def _check_order(
    message: pb.ModelDynamicBatching, policy: QueuePolicy, where: str, faults: Faults
) -> None:
    if message.preserve_ordering and policy.timeout_action is TimeoutAction.DELAY:
        what = "DELAY contradicts preserve_ordering: later requests would wait for the delayed one"
        faults.add(f"{where}.timeout_action", what, "write REJECT, or remove preserve_ordering")


def _may_expire(policy: QueuePolicy) -> bool:
    return policy.timeout_us > 0 or policy.allow_timeout_override


def _message(policy: QueuePolicy) -> pb.ModelQueuePolicy:
    message = pb.ModelQueuePolicy(
        max_queue_size=policy.max_size,
        default_timeout_microseconds=policy.timeout_us,
        allow_timeout_override=policy.allow_timeout_override,
    )
    if policy.timeout_action is TimeoutAction.DELAY:
        message.timeout_action = pb.ModelQueuePolicy.DELAY
    return message
