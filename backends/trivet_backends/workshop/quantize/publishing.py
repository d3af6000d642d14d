"""A variant as models of a repository: copy, check, rename, as every build."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build_file import NAME as BUILD_FILE
from trivet_backends.workshop.build_file import Json, read_build_file
from trivet_backends.workshop.config_text import is_untouched, resigned
from trivet_backends.workshop.entry import Entry
from trivet_backends.workshop.quantize.source import CONFIG, Source, newest
from trivet_backends.workshop.quantize.variants import Engine, Variant

REPORT = "quantize.json"


def entries(
    source: Source,
    variant: Variant,
    made: Path,
    recipe: Mapping[str, Json],
    report: Mapping[str, Json],
    *,
    into: Path,
    next_version: bool,
) -> list[Entry]:
    """The variant's encoder and its pipelines; for another repository, also what goes with them.

    made: the folder with the variant's files. into: the repository they are for.
    next_version: under the source's own names, else with the variant's name behind them.
    Raises InvalidConfig if the config of a model that is to get a next version was edited by hand.
    """
    suffix = "" if next_version else f"_{variant.name.replace('-', '_')}"
    name = f"{source.model}{suffix}"
    if next_version:
        _refuse_edited(into / name / CONFIG)
    at_home = into.resolve() == source.repository.resolve()
    companions = [] if at_home else _companions(source)
    pipelines = [] if at_home and next_version else source.pipelines
    encoder = Entry(
        model=name,
        kind="encoder",
        source=source.origin,
        config=encoder_config(source.config, source.model, name, variant),
        recipe={**source.recipe, "precision": variant.name, "quantize": recipe},
        write=_copier(made, {REPORT: report}),
    )
    return [
        *companions,
        encoder,
        *(_pipeline(source, pipeline, f"{pipeline}{suffix}", name) for pipeline in pipelines),
    ]


def encoder_config(text: str, old: str, new: str, variant: Variant) -> str:
    """The source's config for another name and engine, with the variant's parameters."""
    text = _renamed(text, old, new)
    text = re.sub(r"^(# .*;) an ONNX graph in fp32\.$", rf"\1 {variant.name}.", text, flags=re.M)
    text = re.sub(r'^(backend|platform): ".*"$', f'backend: "{variant.engine}"', text, flags=re.M)
    text = re.sub(r"^default_model_filename: .*\n", "", text, flags=re.M)
    if variant.engine is not Engine.ONNXRUNTIME:  # others know no input with a default
        text = re.sub(r"^(  \{ name: .*) optional: true", r"\1", text, flags=re.M)
    for key, (value, why) in variant.parameters.items():
        text += f'# {why}\nparameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
    return resigned(text)


def _renamed(text: str, old: str, new: str) -> str:
    return re.sub(rf'^name: "{re.escape(old)}"$', f'name: "{new}"', text, flags=re.M)


def _pipeline(source: Source, old: str, new: str, encoder: str) -> Entry:
    text = (source.repository / old / CONFIG).read_text(encoding="utf-8")
    step = rf'^(\s*model_name: )"{re.escape(source.model)}"$'
    text = re.sub(step, rf'\1"{encoder}"', _renamed(text, old, new), flags=re.M)
    text = re.sub(rf"^(# .*) by {re.escape(source.model)}\b", rf"\1 by {encoder}", text, flags=re.M)
    return Entry(
        model=new,
        kind="pipeline",
        source=source.origin,
        config=resigned(text),
        recipe={"task": source.task, "encoder": encoder},
        write=lambda folder: {},
    )


def _companions(source: Source) -> list[Entry]:
    """The models that a build made beside the encoder and its pipelines, as they were built."""
    parts = source.repository.glob(f"{source.model}_*/{CONFIG}")
    names = sorted(path.parent.name for path in parts)
    found = []
    for name in names:
        folder = newest(source.repository / name)
        build = read_build_file(folder)
        if name in source.pipelines or build is None or build.kind == "encoder":
            continue
        config = (source.repository / name / CONFIG).read_text(encoding="utf-8")
        found.append(
            Entry(
                model=name,
                kind=build.kind,
                source=build.source,
                config=config,
                recipe=build.recipe,
                write=_copier(folder, {}),
            )
        )
    return found


def _copier(
    made: Path, reports: Mapping[str, Mapping[str, Json]]
) -> Callable[[Path], Mapping[str, Json]]:
    def write(folder: Path) -> Mapping[str, Json]:
        for file in sorted(made.iterdir()):
            if file.name != BUILD_FILE:
                shutil.copyfile(file, folder / file.name)
        for name, content in reports.items():
            (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return {}

    return write


def _refuse_edited(config: Path) -> None:
    """A config that somebody edited would be kept, and would name the old engine."""
    if config.exists() and not is_untouched(config.read_text(encoding="utf-8")):
        found, cure = "was edited by hand", "leave --next-version out, or move the edits away first"
        raise InvalidConfig([Fault(f"{config.parent.name}/{CONFIG}", found, cure)])
