"""Whether the models of a repository would load, and everything that speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from trivet.backend.contract import Backend, LoadContext
from trivet.config import InstanceKind, ModelConfig
from trivet.config_file import Faults, artifact_of, backend_of, read_config
from trivet.errors import Fault, InvalidConfig, ServeError
from trivet.model.completion import completed
from trivet.model.warm_up import samples_of
from trivet.model.wiring import check_wiring
from trivet.repository.layout import ModelFolder, Snapshot
from trivet.repository.versions import load_order, missing, wanted

LoadBackend = Callable[[str], Backend]  # by its name; raises InvalidConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """One model: what it is, and why it would not load.

    config: None if it could not be read; completed by the artifact if that was opened.
    versions: those that would be served, ascending.
    """

    folder: ModelFolder
    config: ModelConfig | None
    backend: str
    versions: tuple[int, ...]
    faults: tuple[Fault, ...]


def inspect(
    snapshot: Snapshot, installed: Collection[str], load_backend: LoadBackend | None = None
) -> tuple[Inspected, ...]:
    """Every model of the snapshot, in its order, each with all its faults.

    installed: names of the backends there are. load_backend: if given, every artifact that would be
    served is opened, too, and compared with its config; takes the engine's time and memory.
    """
    models = [_inspect_alone(folder, installed) for folder in snapshot.folders]
    if load_backend:
        models = [_opened(model, load_backend) for model in models]
    faults = Faults()
    sound = {model.config.name: model for model in models if model.config and not model.faults}
    configs = {name: model.config for name, model in sound.items() if model.config}
    order = load_order(configs.values(), faults, [model.folder.name for model in models])
    for name in order:
        members = {step.model: configs[step.model] for step in configs[name].steps}
        _check_versions(configs[name], sound, faults)
        if all(member.inputs and member.outputs for member in members.values()):
            check_wiring(configs[name], members, faults)
    return tuple(_with_faults(model, faults) for model in models)


def _inspect_alone(folder: ModelFolder, installed: Collection[str]) -> Inspected:
    """What can be said without the other models."""
    faults = Faults()
    text = folder.config_text or ""
    config = read_config(text, folder.config_name, folder.name, faults)
    versions, backend = folder.versions, ""
    if config:
        versions = wanted(config.version_policy, folder.versions)
        backend = backend_of(config, folder.filenames[versions[-1]] if versions else ())
    if config and _has_versions(folder, config, faults) and not config.is_pipeline:
        _check_backend(folder, backend, installed, faults)
        check_devices(config, faults)
        _check_artifacts(folder, artifact_of(config, backend), versions, faults)
    return Inspected(
        folder=folder, config=config, backend=backend, versions=versions, faults=tuple(faults)
    )


def _has_versions(folder: ModelFolder, config: ModelConfig, faults: Faults) -> bool:
    if not folder.versions:
        holding = "empty" if config.is_pipeline else "with the model's files in it"
        cure = f"make a folder {folder.name}/1, {holding}"
        faults.add(folder.name, "has no version", cure)
    elif absent := missing(config.version_policy, folder.versions):
        what = f"there is no version {', '.join(map(str, absent))}"
        cure = f"name versions there are: {', '.join(map(str, folder.versions))}"
        faults.add(f"{folder.config_name}: version_policy.specific.versions", what, cure)
    return bool(folder.versions)


def _check_backend(
    folder: ModelFolder, backend: str, installed: Collection[str], faults: Faults
) -> None:
    at = f"{folder.config_name}: backend"
    if not backend:
        what = "is not named, and no file of the version tells it"
        faults.add(at, what, 'write backend: "..."')
    elif backend not in installed:
        known = ", ".join(sorted(installed)) or "none"
        cure = f"use one of those installed ({known}), or install the package that brings it"
        faults.add(at, f"there is no backend '{backend}'", cure)


def check_devices(config: ModelConfig, faults: Faults) -> None:
    """No backend of this version runs on a GPU; and none may fall back to something slower."""
    for index, group in enumerate(config.instance_groups):
        if group.kind is InstanceKind.GPU:
            where = f"{config.name}/config.pbtxt: instance_group[{index}].kind"
            cure = "write KIND_CPU or KIND_AUTO"
            faults.add(where, "no backend of this version of trivet runs on a GPU", cure)


def _check_artifacts(
    folder: ModelFolder, artifact: str, versions: Iterable[int], faults: Faults
) -> None:
    for version in versions:
        if artifact and artifact not in folder.filenames[version]:
            cure = "put it there, or name another file in default_model_filename"
            faults.add(f"{folder.name}/{version}", f"there is no '{artifact}'", cure)


def _opened(model: Inspected, load_backend: LoadBackend) -> Inspected:
    """Open every version that would be served; the latest completes the config shown."""
    config = model.config
    if config is None or config.is_pipeline or model.faults:
        return model
    faults = Faults()
    for version in model.versions:
        context = LoadContext(
            version=version,
            path=model.folder.version_path(version),
            where=f"{config.name}/{version}",
            threads=1,
        )
        written = replace(config, backend=model.backend)
        shown = _completed(written, context, load_backend, faults)
        if version == model.versions[-1]:
            model = replace(model, config=shown)
    return replace(model, faults=tuple(faults))


def _completed(
    config: ModelConfig, context: LoadContext, load_backend: LoadBackend, faults: Faults
) -> ModelConfig:
    try:
        artifact = load_backend(config.backend).open(config.reshaped, context)
        try:
            config = completed(config, artifact.signature, context.where, faults)
            if not faults:
                samples_of(config, context.path.parent, faults)
            return config
        finally:
            artifact.close()
    except InvalidConfig as error:
        faults.extend(error.faults)
    except ServeError as error:
        faults.add(context.where, error.message, "see the message")
    except Exception as error:  # an engine may raise anything; the other models are still looked at
        what = f"backend '{config.backend}' failed on it: {type(error).__name__}: {error}"
        faults.add(context.where, what, "check that the file is whole and of the right format")
    return config


def _check_versions(pipeline: ModelConfig, models: dict[str, Inspected], faults: Faults) -> None:
    """The steps name versions that would be served."""
    for index, step in enumerate(pipeline.steps):
        served = models[step.model].versions
        if step.version is not None and step.version not in served:
            faults.add(
                f"{pipeline.name}/config.pbtxt: ensemble_scheduling.step[{index}].model_version",
                f"version {step.version} of '{step.model}' is not served",
                f"write -1 for the latest, or one of {', '.join(map(str, served))}",
            )


def _with_faults(model: Inspected, faults: Iterable[Fault]) -> Inspected:
    """The model with those of the faults that lie in its own file."""
    own = (fault for fault in faults if fault.where.partition("/")[0] == model.folder.name)
    return replace(model, faults=(*model.faults, *own))
