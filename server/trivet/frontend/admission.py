"""Who is let in when there is more to do than can be done: decided before a request is read.

A refusal must cost next to nothing, or an overload grows by being refused. So unary calls are
weighed as bytes, by the table of methods (`admitted`); a message of a stream, which is refused
in-band, by the service that answers it, as soon as it knows whom to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from trivet.errors import Overloaded
from trivet.frontend.access_rules import Group, rule_of
from trivet.frontend.method import Call, Method, Methods, Unary, UnaryHandler
from trivet.frontend.text_tasks.table import TASKS
from trivet.frontend.unfolding import first_text
from trivet.frontend.window import Unread
from trivet.repository.registry import Registry
from trivet.telemetry.failures import Reason

_DEFAULT_MODELS = {task.name: task.default_model for task in TASKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """Of what is under way at a time, from its arrival to its answer; 0: any.

    max_inflight_requests: calls, and messages of streams. max_inflight_bytes: of these, as they
    came; a request that is alone is let in whatever its size.
    """

    FLAGS: ClassVar[Mapping[str, str]] = {
        "max_inflight_requests": "--max-inflight-requests",
        "max_inflight_bytes": "--max-inflight-bytes",
    }

    max_inflight_requests: int = 0
    max_inflight_bytes: int = 1 << 30


@dataclass(slots=True)
class Load:
    """What is under way."""

    requests: int = 0
    size: int = 0  # bytes


def exceeded(
    load: Load, size: int, limits: AdmissionLimits, of_model: int = 0, most_of_model: int = 0
) -> str | None:
    """The limit that one more request would exceed, in words; None if it may come in.

    size: its bytes. of_model: requests of its model under way; most_of_model: of its config.
    """
    if limits.max_inflight_requests and load.requests >= limits.max_inflight_requests:
        flag = limits.FLAGS["max_inflight_requests"]
        return f"the server has {load.requests} requests under way, as many as it takes ({flag})"
    most = limits.max_inflight_bytes
    if most and load.requests and load.size + size > most:
        flag = limits.FLAGS["max_inflight_bytes"]
        return f"requests of {load.size} bytes are under way, and {most} are taken ({flag})"
    if most_of_model and of_model >= most_of_model:
        return f"it has {of_model} requests under way, as many as it takes (max_inflight_requests)"
    return None


class Admission:
    """Counts what is under way, and refuses what is too much. Touched from the event loop only."""

    def __init__(self, registry: Registry, limits: AdmissionLimits | None = None) -> None:
        """limits: of the server; a model's own is in its config."""
        self._registry = registry
        self._limits = limits or AdmissionLimits()
        self._of_model: dict[str, int] = {}  # no model of which nothing is under way
        self.load = Load()
        self.unread = Unread()  # answers of streams

    def let_in(self, model: str, size: int) -> Place:
        """Count a request while a `with` of this runs.

        model: its name, as the caller says it. size: bytes. To enter raises Overloaded, and counts
        that as a rejected request of the model.
        """
        return Place(self, model, size)

    def enter(self, model: str, size: int) -> None:
        load, of_model = self.load, self._of_model
        known = self._registry.latest(model)
        most = known.config.max_inflight_requests if known else 0
        before = of_model.get(model, 0)
        if why := exceeded(load, size, self._limits, before, most):
            if known:
                known.statistics.request_failed(0, Reason.REJECTED)
            raise Overloaded(f"model '{model}': {why}; retry later" if known else why)
        load.requests += 1
        load.size += size
        of_model[model] = before + 1

    def leave(self, model: str, size: int) -> None:
        self.load.requests -= 1
        self.load.size -= size
        left = self._of_model[model] - 1
        if left:
            self._of_model[model] = left
        else:
            del self._of_model[model]


class Place:
    """A request's place among those under way."""

    # Written out, since every request takes one: a generator would take three times as long.
    __slots__ = ("_admission", "_model", "_size")

    def __init__(self, admission: Admission, model: str, size: int) -> None:
        self._admission = admission
        self._model = model
        self._size = size

    def __enter__(self) -> None:
        self._admission.enter(self._model, self._size)

    def __exit__(self, *ended: object) -> None:
        self._admission.leave(self._model, self._size)


def admitted(methods: Methods, admission: Admission) -> Methods:
    """The same methods; unary calls of models are let in or refused before they are read."""
    return {name: _admitted(name, method, admission) for name, method in methods.items()}


def _admitted(name: str, method: Method, admission: Admission) -> Method:
    if not isinstance(method, Unary) or rule_of(name).group is not Group.INFERENCE:
        return method
    default = _DEFAULT_MODELS.get(name.rpartition("/")[2], "")
    return Unary(_unary(method.handler, default, admission))


def _unary(handler: UnaryHandler, default: str, admission: Admission) -> UnaryHandler:
    async def answer(message: bytes, call: Call) -> bytes:
        # The model is the first field of every request for one, and left out by those who want
        # the task's own.
        with admission.let_in(first_text(message) or default, len(message)):
            return await handler(message, call)

    return answer
