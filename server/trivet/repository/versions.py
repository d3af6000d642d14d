"""Which versions are wanted, in which order models load, and what to do next about a model.

Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Held:
    """What the server has of one version. A revision is a digest of its config and files."""

    serving: str = ""  # the revision that answers requests; "" for none
    failed: str = ""  # the revision that could not be loaded last; "" for none


@dataclass(frozen=True, slots=True)
class Load:
    """Load the wanted revision of a version; what serves serves on until it is ready."""

    version: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Take a version out."""

    version: int


def next_action(desired: Mapping[int, str], held: Mapping[int, Held]) -> Load | Unload | None:
    """What to do next so that a model's versions become those desired; None: nothing is left.

    desired: version -> revision. New versions are loaded first, the newest before the others, and
    one that failed is not tried again until its revision changes. Versions that are not wanted any
    more go when all that are wanted serve: a broken new version leaves the old one serving.
    """
    for version in sorted(desired, reverse=True):
        have = held.get(version, Held())
        if desired[version] not in (have.serving, have.failed):
            return Load(version)
    complete = all(held[version].serving == revision for version, revision in desired.items())
    for version in sorted(held.keys() - desired.keys()):
        if complete or not held[version].serving:
            return Unload(version)
    return None


def load_order(
    configs: Iterable[ModelConfig],
    faults: Faults,
    faulty: Collection[str] = (),
    idle: Collection[str] = (),
) -> tuple[str, ...]:
    """The models' names, each after all its members; else by name.

    faulty: models that are there but cannot be loaded, for reasons told elsewhere. idle: models
    that are there and that nobody has asked to load.
    A pipeline that cannot be loaded for want of a member, or because pipelines call one another in
    a circle, is added to `faults` and left out, and so is every pipeline that needs it.
    """
    loadable = {config.name: config for config in sorted(configs, key=lambda config: config.name)}
    known = loadable.keys() | set(faulty)
    while True:
        _drop_incomplete(loadable, known, idle, faults)
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
    loadable: dict[str, ModelConfig],
    known: Collection[str],
    idle: Collection[str],
    faults: Faults,
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
            what, cure = f"there is no model '{member}'", "name a model of the repository"
            if member in known:
                what, cure = f"model '{member}' cannot be loaded", "see what is wrong with it"
            elif member in idle:
                what, cure = f"model '{member}' is not loaded", "load it"
            faults.add(_place(name, f".step[{index}].model_name"), what, cure)
            loadable.pop(name, None)
        if not incomplete:
            return


def _place(name: str, field: str) -> str:
    return f"{name}/{CONFIG_NAME}: ensemble_scheduling{field}"
