"""What every backend checks before it opens: files, tensor names, its engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import Fault, InvalidConfig


def artifact_file(context: LoadContext, name: str) -> Path:
    """The version's file `name`.

    Raises InvalidConfig if it is not there, is no file, or if the name leads out of the folder.
    """
    where = f"{context.where}/{name}"
    if Path(name).name != name:
        cure = "name a file of the version's own folder, without slashes"
        raise InvalidConfig([Fault(where, "the name is not that of a file", cure)])
    path = context.path / name
    if not path.exists():
        cure = "put it there, or name another one in default_model_filename"
        raise InvalidConfig([Fault(where, "no such file", cure)])
    if not path.is_file():
        raise InvalidConfig([Fault(where, "is a folder", "put a file there")])
    return path


def batches(config: ModelConfig) -> bool:
    """Whether arrays carry a batch dimension; yes where the config leaves everything to us."""
    return config.max_batch_size > 0 or not (config.inputs or config.outputs)


def not_installed(context: LoadContext, backend: str, extra: str) -> InvalidConfig:
    """The refusal when a backend's engine cannot be imported."""
    what = f"backend '{backend}' is not installed"
    return InvalidConfig([Fault(context.where, what, f"pip install 'trivet[{extra}]'")])


def check_names(config: ModelConfig, *, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Raise InvalidConfig for every tensor in the config that is none of the backend's own."""
    faults = [
        *_strangers(config, "input", config.inputs, inputs),
        *_strangers(config, "output", config.outputs, outputs),
    ]
    if faults:
        raise InvalidConfig(faults)


def _strangers(
    config: ModelConfig, field: str, specs: Sequence[TensorSpec], known: Sequence[str]
) -> list[Fault]:
    return [
        Fault(
            f"{config.name}/config.pbtxt: {field}[{i}].name",
            f"backend '{config.backend}' has no {field} '{spec.name}' here",
            "use " + ", ".join(known),
        )
        for i, spec in enumerate(specs)
        if spec.name not in known
    ]
