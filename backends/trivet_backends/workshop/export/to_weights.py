"""Weights alone: every tensor of the checkpoint in FP32, under the names of today.

Old names (gamma, beta) become weight and bias, 8-bit and half-precision tensors float32; parts that
no head here uses, such as a pooler, are kept. transformers' from_pretrained reads the folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop import names
from trivet_backends.workshop.export.source import Source
from trivet_backends.workshop.tensor_files import (
    SCALE_SUFFIX,
    Float32,
    let_all_read,
    list_tensors,
    read_tensor,
)
from trivet_backends.workshop.tokenizer_file import copy_tokenizer

WEIGHTS = "model.safetensors"
_CONFIG = "config.json"
_INTEGERS = ("I8", "I32", "I64", "BOOL")  # position_ids of old checkpoints


def stored_tensors(source: Source) -> dict[str, Float32]:
    """float32 by the names that the checkpoint has, old ones brought up to date."""
    listed = list_tensors(source.checkpoint.folder, [])
    scales = {name: part for name, part in listed.items() if name.endswith(SCALE_SUFFIX)}
    return {
        _renewed(name): read_tensor(stored, scales)
        for name, stored in listed.items()
        if name not in scales and (stored.dtype not in _INTEGERS or name + SCALE_SUFFIX in scales)
    }


def _renewed(name: str) -> str:
    prefix = "bert." if name.startswith("bert.") else ""
    return prefix + names.canonical_name(name)


def copy_companions(source: Source, folder: Path) -> None:
    """Config and tokenizer, so that the folder is a checkpoint of its own."""
    shutil.copyfile(source.checkpoint.folder / _CONFIG, folder / _CONFIG)
    copy_tokenizer(source.checkpoint.folder, folder)


def write_safetensors(source: Source, folder: Path) -> None:
    """model.safetensors beside config and tokenizer."""
    from safetensors.numpy import save_file

    save_file(stored_tensors(source), folder / WEIGHTS, metadata={"format": "pt"})
    let_all_read(folder)
    copy_companions(source, folder)


def compare_safetensors(source: Source, folder: Path) -> float:
    """The largest difference of any weight read back.

    Raises InvalidConfig if one is missing or has another shape.
    """
    from trivet_backends.workshop.checkpoint import read_checkpoint

    found = read_checkpoint(folder, source.options.task).weights()
    expected = source.checkpoint.weights()
    missing = [
        name
        for name, array in expected.items()
        if name not in found or found[name].shape != array.shape
    ]
    if missing:
        cure = "nothing was written; this is a fault of trivet"
        raise InvalidConfig([Fault(f"{WEIGHTS}: {missing[0]}", "is not as in the source", cure)])
    return max(float(np.abs(found[name] - a).max()) for name, a in expected.items())
