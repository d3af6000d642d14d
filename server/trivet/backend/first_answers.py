"""A decoupled instance as one that executes batches, for warming it up."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.backend.contract import Answer, Batch, DecoupledInstance, Instance
from trivet.config import ModelConfig
from trivet.errors import CallerLeft, ServeError


class FirstAnswers:
    """Implements `Instance`: computes the first answer to each request and drops it.

    What follows the first is as warm, and may be a lot.
    """

    def __init__(self, instance: DecoupledInstance) -> None:
        self._instance = instance

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        """Raises what the instance raises."""
        for request in batch.requests:
            try:
                self._instance.stream(request, _OneIsEnough())
            except CallerLeft:
                continue
        return []

    def close(self) -> None:
        self._instance.close()


class _OneIsEnough:
    """A caller who leaves with the first answer."""

    def __init__(self) -> None:
        self._has_one = False

    def send(self, answer: Answer, *, final: bool = False) -> None:
        if self._has_one:
            raise CallerLeft("one answer was enough")
        self._has_one = True

    def is_cancelled(self) -> bool:
        return self._has_one


def to_warm_up(instance: Instance, config: ModelConfig) -> Instance:
    """The instance as it is warmed up: a decoupled one computes first answers."""
    if config.decoupled and isinstance(instance, DecoupledInstance):
        return FirstAnswers(instance)
    return instance
