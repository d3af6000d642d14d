"""What is tuned, and through which model it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trivet.config_file.faults import Faults
from trivet.config_file.text import parse
from trivet.errors import Fault, InvalidConfig
from trivet_protos.generated import model_config_pb2 as pb

CONFIG = "config.pbtxt"
_FILES = {"onnxruntime": "model.onnx", "openvino": "model.xml"}
_WITHOUT_ENGINE = ("tokenizers", "text")  # they have no threads, and batches cost them nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """tuned: the model whose settings are looked for. asked: it, or a pipeline that runs it.

    needed: all models that are served meanwhile. engines: those whose files are all there, if they
    are two or more.
    """

    repository: Path
    tuned: str
    asked: str
    needed: tuple[str, ...]
    engines: tuple[str, ...]
    batches: bool  # whether it has a dynamic_batching block

    @property
    def config(self) -> Path:
        """The file that is tuned."""
        return self.repository / self.tuned / CONFIG


def find_subject(repository: Path, model: str, asked: str | None) -> Subject:
    """The model, or of a pipeline the one model that runs on an engine.

    asked: None for the first pipeline that runs it, by name, or itself where none does.
    Raises InvalidConfig: no such model, no config.pbtxt, nothing to tune in it.
    """
    configs = {path.parent.name: _read(path) for path in sorted(repository.glob(f"*/{CONFIG}"))}
    if not configs:
        found = f"holds no MODEL/{CONFIG}" if repository.is_dir() else "is no folder"
        cure = "give the folder of the models; trivet build makes one"
        raise InvalidConfig([Fault(f"--model-repository {repository}", found, cure)])
    if model not in configs:
        cure = "name one of " + ", ".join(configs)
        raise InvalidConfig([Fault(f"{repository.name}/{model}", f"has no {CONFIG}", cure)])
    if _steps(configs[model]):
        asked, model = asked or model, _engine_of(model, configs)
    through = [name for name, config in configs.items() if model in _steps(config)]
    asked = asked or (through[0] if through else model)
    if asked not in configs or (asked != model and model not in _steps(configs[asked])):
        cure = "name a pipeline that runs it: " + (", ".join(through) or "there is none")
        raise InvalidConfig([Fault(f"--ask {asked}", f"does not run '{model}'", cure)])
    config = configs[model]
    _check_engine(model, config, through)
    return Subject(
        repository=repository,
        tuned=model,
        asked=asked,
        needed=tuple(dict.fromkeys([*_steps(configs[asked]), model, asked])),
        engines=_engines(repository / model, config),
        batches=config.HasField("dynamic_batching"),
    )


def _read(path: Path) -> pb.ModelConfig:
    faults = Faults()
    where = f"{path.parent.name}/{CONFIG}"
    message = parse(path.read_text(encoding="utf-8", errors="replace"), where, faults)
    if message is None:
        raise InvalidConfig(list(faults))
    return message


def _steps(config: pb.ModelConfig) -> list[str]:
    return [step.model_name for step in config.ensemble_scheduling.step]


def _engine_of(pipeline: str, configs: Mapping[str, pb.ModelConfig]) -> str:
    """The step that computes: the last one with an engine that can be tuned."""
    known = (*_WITHOUT_ENGINE, "")
    found = [
        step
        for step in _steps(configs[pipeline])
        if step in configs and configs[step].backend not in known
    ]
    if not found:
        cure = "name the model that computes"
        raise InvalidConfig([Fault(pipeline, "none of its steps runs on an engine", cure)])
    return found[-1]


def _check_engine(model: str, config: pb.ModelConfig, through: Sequence[str]) -> None:
    """Raise InvalidConfig for a model whose settings change nothing that can be measured."""
    if config.backend in _WITHOUT_ENGINE:
        found = f"runs on '{config.backend}', which has no settings that are tuned"
        cure = "name the model that computes"
        if through:
            cure += f", or a pipeline that runs it: {', '.join(through)}"
        raise InvalidConfig([Fault(model, found, cure)])


def _engines(folder: Path, config: pb.ModelConfig) -> tuple[str, ...]:
    """Both engines, if the newest version has both's files and the config names no file."""
    versions = [path for path in folder.glob("[1-9]*") if path.name.isdecimal()]
    if not versions or config.default_model_filename or config.backend not in _FILES:
        return ()
    newest = max(versions, key=lambda path: int(path.name))
    found = tuple(name for name, file in _FILES.items() if (newest / file).is_file())
    return found if len(found) > 1 else ()
