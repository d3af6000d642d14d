"""What is to be served of each model, decided from what lies there and what serves now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trivet.config import ModelConfig
from trivet.errors import Fault
from trivet.repository.inspection import Inspected


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be served of one model.

    desired: version -> revision. faults: why nothing new can be loaded; then `desired` is empty,
    and what serves stays, unless the model is doomed.
    """

    model: Inspected
    desired: Mapping[int, str]
    faults: tuple[Fault, ...] = ()

    @property
    def is_pipeline(self) -> bool:
        return self.model.config is not None and self.model.config.is_pipeline


def goals(models: Iterable[Inspected], order: Sequence[str]) -> tuple[Goal, ...]:
    """One for each model, members before the pipelines that call them."""
    by_name = {model.name: model for model in models}
    ordered = (*order, *sorted(by_name.keys() - set(order)))
    return tuple(_goal(by_name[name]) for name in ordered)


def doomed(
    goals: Iterable[Goal], serving: Mapping[str, ModelConfig], gone: Collection[str]
) -> set[str]:
    """The pipelines that serve, cannot be loaded anew, and whose members go.

    serving: the latest config that serves of each model. gone: models that are not to be served.
    """
    faulty = {goal.model.name: goal for goal in goals if goal.faults}
    versions = {goal.model.name: goal.desired for goal in goals if not goal.faults}
    leaving = set(gone)
    while True:
        more = {
            name
            for name, config in serving.items()
            if name in faulty and name not in leaving
            for step in config.steps
            if step.model in leaving
            or (
                step.version is not None
                and step.version not in versions.get(step.model, [step.version])
            )
        }
        if not more:
            return leaving - set(gone)
        leaving |= more


def with_members(names: Iterable[str], models: Mapping[str, Inspected]) -> set[str]:
    """The models of these names and all that their pipelines call, as far as they are there."""
    found: set[str] = set()
    waiting = [name for name in names if name in models]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            config = models[name].config
            steps = config.steps if config else ()
            waiting += [step.model for step in steps if step.model in models]
    return found


def _goal(model: Inspected) -> Goal:
    if model.own_faults:
        return Goal(model, {}, model.own_faults)
    return Goal(model, model.revisions)
