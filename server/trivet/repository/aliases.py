"""Names that a request may give instead of a version's number: `stable`, `canary`.

config.pbtxt: parameters { key: "version_alias.stable" value { string_value: "3" } }
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from trivet.config import ModelConfig
from trivet.config_file import Faults

PREFIX = "version_alias."

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def is_alias(text: str) -> bool:
    """Whether a version may be called so; never true of anything like a number."""
    return bool(_ALIAS.fullmatch(text))


def aliases_of(config: ModelConfig) -> Mapping[str, int]:
    """Alias -> version. The config is valid."""
    return {alias: int(version) for alias, version in _written(config).items()}


def check_aliases(config: ModelConfig, where: str, served: Collection[int], faults: Faults) -> None:
    """Every alias is a name and stands for a version that is served."""
    known = ", ".join(map(str, sorted(served)))
    for alias, version in _written(config).items():
        at = f'{where}: parameters["{PREFIX}{alias}"]'
        if not is_alias(alias):
            cure = "use a small letter, then small letters, digits, '_' and '-'"
            faults.add(at, f"'{alias}' cannot be an alias", cure)
        if served and version not in map(str, served):
            what = f"'{version}' is no version that is served"
            faults.add(at, what, f"name one of {known}, or let version_policy serve it")


def without_aliases(config: ModelConfig) -> ModelConfig:
    """The config but for what says which versions there are and what they are called."""
    kept = {key: value for key, value in config.parameters.items() if not key.startswith(PREFIX)}
    return replace(config, parameters=kept, version_policy=ModelConfig(name="").version_policy)


def _written(config: ModelConfig) -> dict[str, str]:
    return {
        key.removeprefix(PREFIX): value
        for key, value in config.parameters.items()
        if key.startswith(PREFIX)
    }
