"""Which versions are wanted, and in which order models load. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from graphlib import CycleError, TopologicalSorter

from trivet.config import ModelConfig, VersionPolicy
from trivet.config_file import Faults
from trivet.repository.layout import CONFIG_NAME


def wanted(policy: VersionPolicy, available: Collection[int]) -> tuple[int, ...]:
    """The versions to serve of those there are, ascending."""
    ascending = sorted(available)
    if policy.specific:
        return tuple(version for version in ascending if version in policy.specific)
    return tuple(ascending[-policy.latest :] if policy.latest else ascending)


def missing(policy: VersionPolicy, available: Collection[int]) -> tuple[int, ...]:
    """The versions the policy names and that are not there, ascending."""
    return tuple(sorted(set(policy.specific) - set(available)))


def load_order(
    configs: Iterable[ModelConfig], faults: Faults, faulty: Collection[str] = ()
) -> tuple[str, ...]:
    """The models' names, each after all its members; else by name.

    faulty: models that are there but cannot be loaded, for reasons told elsewhere.
    A pipeline that cannot be loaded for want of a member, or because pipelines call one another in
    a circle, is added to `faults` and left out, and so is every pipeline that needs it.
    """
    loadable = {config.name: config for config in sorted(configs, key=lambda config: config.name)}
    known = loadable.keys() | set(faulty)
    while True:
        _drop_incomplete(loadable, known, faults)
        members = {name: [step.model for step in config.steps] for name, config in loadable.items()}
        try:
            return tuple(TopologicalSorter(members).static_order())
        except CycleError as error:
            circle = error.args[1][::-1]  # each calls the next; the last is the first again
            what = f"pipelines call one another in a circle: {' -> '.join(circle)}"
            faults.add(_place(circle[0], ""), what, "break the circle")
            for name in circle[1:]:
                del loadable[name]


def _drop_incomplete(
    loadable: dict[str, ModelConfig], known: Collection[str], faults: Faults
) -> None:
    """Take out the pipelines that want a member which is not loadable, until none does."""
    while True:
        incomplete = [
            (name, index, step.model)
            for name, config in loadable.items()
            for index, step in enumerate(config.steps)
            if step.model not in loadable
        ]
        for name, index, member in incomplete:
            there = member in known
            what = (
                f"model '{member}' cannot be loaded" if there else f"there is no model '{member}'"
            )
            cure = "see what is wrong with it" if there else "name a model of the repository"
            faults.add(_place(name, f".step[{index}].model_name"), what, cure)
            loadable.pop(name, None)
        if not incomplete:
            return


def _place(name: str, field: str) -> str:
    return f"{name}/{CONFIG_NAME}: ensemble_scheduling{field}"
