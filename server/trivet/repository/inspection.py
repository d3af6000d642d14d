"""Whether the models of a repository would load, and everything that speaks against it.

`check` and `ls` tell it; the manager acts on it. So all three say the same, in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from trivet.backend.contract import Backend, LoadContext
from trivet.backend.exhaustion import is_exhaustion
from trivet.backend.placement import asks_for_devices, contexts, placed
from trivet.config import ModelConfig
from trivet.config_file import Faults, artifact_of, backend_of, read_config
from trivet.errors import Fault, InvalidConfig, ServeError
from trivet.model.completion import completed
from trivet.model.labels import labels_of
from trivet.model.warm_up import samples_of
from trivet.model.wiring import check_wiring
from trivet.repository.aliases import check_aliases, without_aliases
from trivet.repository.layout import ModelFolder, Snapshot
from trivet.repository.versions import load_order, missing, wanted

LoadBackend = Callable[[str], Backend]  # by its name; raises InvalidConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """One model: what it is, and why it, or a version of it, would not load.

    config: None if it could not be read; completed by the artifact if that was opened.
    versions: those that would be served, ascending. backends: of each of them, by name.
    revisions: what each of them consists of, in one word: another word, other answers.
    """

    folder: ModelFolder
    config: ModelConfig | None
    versions: tuple[int, ...]
    backends: Mapping[int, str] = field(default_factory=dict)
    revisions: Mapping[int, str] = field(default_factory=dict)
    faults: tuple[Fault, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def backend(self) -> str:
        """The latest version's; "" for a pipeline, and where nothing tells it."""
        return self.backends[self.versions[-1]] if self.versions else ""

    @property
    def own_faults(self) -> tuple[Fault, ...]:
        """Those that keep every version from loading."""
        of_versions = {fault for version in self.versions for fault in self.faults_of(version)}
        return tuple(fault for fault in self.faults if fault not in of_versions)

    def faults_of(self, version: int) -> tuple[Fault, ...]:
        """Those of one version alone."""
        place = f"{self.name}/{version}"
        return tuple(
            fault
            for fault in self.faults
            if fault.where.startswith(place) and fault.where[len(place) :][:1] in ("", "/", ":")
        )

    @property
    def sound_versions(self) -> tuple[int, ...]:
        """The versions that nothing speaks against."""
        if self.config is None or self.own_faults:
            return ()
        return tuple(version for version in self.versions if not self.faults_of(version))


def inspect(
    snapshot: Snapshot,
    installed: Collection[str],
    load_backend: LoadBackend | None = None,
    ask_backend: LoadBackend | None = None,
) -> tuple[Inspected, ...]:
    """Every model of the snapshot, in its order, each with all its faults.

    installed: names of the backends there are. load_backend: if given, every artifact that would be
    served is opened, too, and compared with its config; takes the engine's time and memory.
    ask_backend: if given, backends are asked for the GPUs and accelerators that configs name.
    """
    models = [inspect_alone(folder, installed) for folder in snapshot.folders]
    if ask_backend:
        models = [_asked(model, ask_backend) for model in models]
    if load_backend:
        models = [_opened(model, load_backend) for model in models]
    return inspect_together(models, snapshot.broken)[0]


def inspect_together(
    models: Sequence[Inspected], broken: Collection[str] = (), idle: Collection[str] = ()
) -> tuple[tuple[Inspected, ...], tuple[str, ...]]:
    """The models with the faults that only show beside the others, and the order to load them in.

    broken: names of models that cannot even be looked at. idle: of those that are not to be loaded.
    """
    faults = Faults()
    sound = {model.name: model for model in models if model.sound_versions}
    configs = {name: model.config for name, model in sound.items() if model.config}
    known = [*(model.name for model in models), *broken]
    order = load_order(configs.values(), faults, known, idle)
    for name in order:
        members = {step.model: configs[step.model] for step in configs[name].steps}
        _check_versions(configs[name], sound, faults)
        if all(member.inputs and member.outputs for member in members.values()):
            check_wiring(configs[name], members, faults)
    return tuple(_with_faults(model, faults) for model in models), order


def inspect_alone(folder: ModelFolder, installed: Collection[str]) -> Inspected:
    """What can be said of a model without the others."""
    faults = Faults()
    text = folder.config_text or ""
    config = read_config(text, folder.config_name, folder.name, faults)
    versions: tuple[int, ...] = ()
    backends: dict[int, str] = {}
    if config:
        versions = wanted(config.version_policy, folder.versions)
        backends = {version: backend_of(config, folder.filenames[version]) for version in versions}
    if config and _has_versions(folder, config, faults):
        check_aliases(config, folder.config_name, versions, faults)
        if not config.is_pipeline:
            _check_backends(folder, config, backends, installed, faults)
            _check_artifacts(folder, config, backends, faults)
    return Inspected(
        folder=folder,
        config=config,
        versions=versions,
        backends=backends,
        revisions=_revisions(folder, config, versions) if config else {},
        faults=tuple(faults),
    )


def _revisions(
    folder: ModelFolder, config: ModelConfig, versions: Iterable[int]
) -> Mapping[int, str]:
    """The config counts as it is read, so comments do not; nor does what only says which versions
    there are and what they are called.
    """
    shared = "\0".join((str(folder.path), repr(without_aliases(config)), folder.shared))
    return {
        version: blake2b(f"{shared}\0{folder.prints[version]}".encode(), digest_size=16).hexdigest()
        for version in versions
    }


def faults_of_error(error: Exception, where: str, backend: str) -> tuple[Fault, ...]:
    """What is told of an error that kept a version from loading.

    where: how messages name the version, e.g. "minilm/1".
    """
    if isinstance(error, InvalidConfig):
        return error.faults
    if is_exhaustion(error):
        said = (
            error.message if isinstance(error, ServeError) else f"{type(error).__name__}: {error}"
        )
        cure = "make room, serve fewer models, or fewer instances of this one"
        return (Fault(where, f"there is not enough memory to load it ({said})", cure),)
    if isinstance(error, ServeError):
        return (Fault(where, error.message, "see the message"),)
    what = f"backend '{backend}' failed on it: {type(error).__name__}: {error}"
    return (Fault(where, what, "check that the file is whole and of the right format"),)


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


def _check_backends(
    folder: ModelFolder,
    config: ModelConfig,
    backends: Mapping[int, str],
    installed: Collection[str],
    faults: Faults,
) -> None:
    """Every version has a backend, and it is there; one that the config names is told once."""
    told: set[str] = set()
    for version, backend in backends.items():
        where = f"{folder.name}/{version}"
        if not backend:
            what = "neither config.pbtxt nor the name of a file tells which backend runs it"
            faults.add(where, what, 'set backend, e.g. backend: "onnxruntime"')
        elif backend not in installed:
            known = ", ".join(sorted(installed)) or "none"
            cure = f"use one of those installed ({known}), or install the package that brings it"
            at = f"{folder.config_name}: backend" if config.backend else where
            if at not in told:
                faults.add(at, f"there is no backend '{backend}'", cure)
            told.add(at)


def _check_artifacts(
    folder: ModelFolder, config: ModelConfig, backends: Mapping[int, str], faults: Faults
) -> None:
    for version, backend in backends.items():
        artifact = artifact_of(config, backend, folder.filenames[version])
        path = folder.version_path(version) / artifact
        if artifact and artifact not in folder.filenames[version]:
            cure = "put it there, or name another file in default_model_filename"
            faults.add(f"{folder.name}/{version}", f"there is no '{artifact}'", cure)
        elif artifact and not (path.is_file() or path.is_dir()):  # a pipe would never end
            faults.add(f"{folder.name}/{version}/{artifact}", "is no file", "put one in its place")


def _asked(model: Inspected, ask_backend: LoadBackend) -> Inspected:
    """The model with what speaks against the devices that its config asks for."""
    config = model.config
    if config is None or model.faults or not asks_for_devices(config):
        return model
    faults = Faults()
    for backend in dict.fromkeys(model.backends.values()):
        try:
            placed(replace(config, backend=backend), ask_backend(backend))
        except InvalidConfig as error:
            faults.extend(error.faults)
    return replace(model, faults=tuple(faults))


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
        written = replace(config, backend=model.backends[version])
        shown = _completed(written, context, load_backend, faults)
        if version == model.versions[-1]:
            model = replace(model, config=shown)
    return replace(model, faults=tuple(faults))


def _completed(
    config: ModelConfig, context: LoadContext, load_backend: LoadBackend, faults: Faults
) -> ModelConfig:
    try:
        backend = load_backend(config.backend)
        config = placed(config, backend)
        for there in contexts(config, context).values():
            artifact = backend.open(config.reshaped, there)
            try:
                config = completed(config, artifact.signature, context.where, faults)
            finally:
                artifact.close()
        if not faults:
            samples_of(config, context.path.parent, faults)
            labels_of(config, context.path.parent, faults)
        return config
    except Exception as error:  # an engine may raise anything; the other models are still looked at
        faults.extend(faults_of_error(error, context.where, config.backend))
    return config


def _check_versions(pipeline: ModelConfig, models: Mapping[str, Inspected], faults: Faults) -> None:
    """The steps name versions that would be served."""
    for index, step in enumerate(pipeline.steps):
        served = models[step.model].sound_versions
        if step.version is not None and step.version not in served:
            faults.add(
                f"{pipeline.name}/config.pbtxt: ensemble_scheduling.step[{index}].model_version",
                f"version {step.version} of '{step.model}' is not served",
                f"write -1 for the latest, or one of {', '.join(map(str, served))}",
            )


def _with_faults(model: Inspected, faults: Iterable[Fault]) -> Inspected:
    """The model with those of the faults that lie in its own file."""
    own = (fault for fault in faults if fault.where.partition("/")[0] == model.name)
    return replace(model, faults=(*model.faults, *own))
