"""Exports that trivet's own backends serve, as models of a repository."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from trivet_backends.workshop.build_file import Json, digests
from trivet_backends.workshop.config_text import Tensor, model_config
from trivet_backends.workshop.configs import MAX_BATCH_TOKENS, MAX_PADDING_PERCENT
from trivet_backends.workshop.entry import Entry, Published, publish
from trivet_backends.workshop.export.export import ABOUT, Exported
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.export.source import signature
from trivet_backends.workshop.head_configs import encoder_outputs
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.tokenizer_file import TOKENIZER_FILES

# Raise it when the same checkpoint and options would give another file.
_RECIPE = 1


def model_name(folder: Path) -> str:
    """What the models of a checkpoint's folder are called, unless they are given a name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", folder.resolve().name).lstrip("_.-") or "model"


def publish_served(
    exported: Exported, output: Path, repository: Path, name: str, announce: Announce
) -> list[Published]:
    """Publish every format that was written and has a backend, as NAME_FORMAT.

    Raises InvalidConfig if a name is taken by a model of another origin; nothing is published then.
    """
    announce(f"publishing into {repository}")
    inputs = digests(exported.checkpoint.files)
    entries = [
        _entry(exported, outcome.format, output / outcome.format, name, inputs)
        for outcome in exported.outcomes
        if not outcome.fault and WAYS[outcome.format].backend
    ]
    return publish(repository, entries)


def _entry(
    exported: Exported,
    format_: ExportFormat,
    folder: Path,
    name: str,
    inputs: Mapping[str, Json],
) -> Entry:
    model = f"{name}_{format_}"
    return Entry(
        model=model,
        kind="export",
        source=exported.checkpoint.folder.resolve().name,
        config=_config(exported, format_, model),
        recipe={
            "recipe": _RECIPE,
            "format": format_,
            "inputs": inputs,
            "options": asdict(exported.options),
        },
        write=partial(_copy, folder),
    )


def _config(exported: Exported, format_: ExportFormat, model: str) -> str:
    options, way = exported.options, WAYS[format_]
    names = signature(options)
    pads = {"input_ids": exported.checkpoint.config.pad_token_id, "mask_positions": -1}
    padding = "No more of a batch's tokens may be padding: few requests of odd lengths go alone."
    return model_config(
        model,
        f"{options.task}: {way.about}.",
        way.backend,
        # By name where the file has names, else in this order.
        inputs=[Tensor(name=name, type="INT64", dims=(-1,)) for name in names.inputs],
        outputs=_outputs(exported),
        parameters={
            "max_batch_tokens": (str(MAX_BATCH_TOKENS), "Rows times the longest row, at most."),
            "max_padding_percent": (str(MAX_PADDING_PERCENT), padding),
            **{f"pad.{name}": (str(pads.get(name, 0)), "") for name in names.inputs},
        },
    )


def _outputs(exported: Exported) -> list[Tensor]:
    options, hidden = exported.options, exported.checkpoint.config.hidden_size
    if options.task in HEADS:
        return encoder_outputs(options.task, exported.labels)
    names = signature(options).outputs
    if options.task is Task.FILL_MASK:
        dims = (-1, options.candidates)
        types = ("INT64", "FP32")
        return [
            Tensor(name=name, type=type_, dims=dims)
            for name, type_ in zip(names, types, strict=True)
        ]
    shapes = [(hidden,), (-1, hidden)]
    return [
        Tensor(name=name, type="FP32", dims=dims) for name, dims in zip(names, shapes, strict=False)
    ]


def _copy(source: Path, folder: Path) -> Mapping[str, Json]:
    """Copy what was checked."""
    for path in source.iterdir():
        if path.name not in (ABOUT, *TOKENIZER_FILES):
            shutil.copyfile(path, folder / path.name)
    return {}
