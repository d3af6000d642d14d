"""What `check` and `ls` share: looking at repositories, and the JSON they print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from trivet import plugins
from trivet.config import TensorSpec
from trivet.config_file import Faults
from trivet.errors import Fault
from trivet.repository.inspection import Inspected, inspect
from trivet.repository.layout import read_repositories


@dataclass(frozen=True, slots=True)
class Looked:
    """The models found, and the faults of entries that were left out."""

    models: tuple[Inspected, ...]
    faults: tuple[Fault, ...]

    @property
    def sound(self) -> bool:
        return not self.faults and not any(model.faults for model in self.models)


def look(repositories: Sequence[Path], *, open_artifacts: bool, user_code: bool = False) -> Looked:
    """Inspect every model. user_code: whether opening may run code out of the repository.

    Raises InvalidConfig if a repository itself cannot be read.
    """
    faults = Faults()
    snapshot = read_repositories(repositories, faults)
    load_backend = partial(plugins.load_backend, user_code=user_code)
    models = inspect(
        snapshot,
        plugins.backends(),
        load_backend if open_artifacts else None,
        partial(plugins.load_backend, user_code=True),  # asked, they run nothing of anybody's
    )
    return Looked(models, tuple(faults))


def as_json(repository: Looked) -> str:
    """Everything known of the models, for programs; keys are stable."""
    content = {
        "models": [_model(model) for model in repository.models],
        "faults": [asdict(fault) for fault in repository.faults],
        "loads": repository.sound,
    }
    return json.dumps(content, indent=2)


def _model(model: Inspected) -> dict[str, object]:
    config = model.config
    return {
        "name": model.folder.name,
        "kind": "pipeline" if config and config.is_pipeline else model.backend,
        "versions": list(model.versions),
        "available": list(model.folder.versions),
        "loads": not model.faults,
        "max_batch_size": config.max_batch_size if config else None,
        "inputs": [_tensor(spec) for spec in config.inputs] if config else [],
        "outputs": [_tensor(spec) for spec in config.outputs] if config else [],
        "faults": [asdict(fault) for fault in model.faults],
        "notes": list(model.folder.notes),
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "dims": list(spec.dims)}
