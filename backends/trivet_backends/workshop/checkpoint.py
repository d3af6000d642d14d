"""A BERT checkpoint folder as values: `config.json` + `model.safetensors` + `tokenizer.json`.

`read_checkpoint` is the way in. It checks everything before it reads a weight, and reports every
fault at once, each with the tensor, the expected and the found shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import BertConfig, read_config
from trivet_backends.workshop.heads import HEADS, head_shapes
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.tensor_files import (
    SCALE_SUFFIX,
    Float32,
    StoredTensor,
    check_type,
    list_tensors,
    read_tensor,
    weight_files,
)
from trivet_backends.workshop.tokenizer_file import TokenizerFacts, read_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One BERT, complete and checked; its weights are still in the files."""

    folder: Path
    config: BertConfig
    stored: Mapping[str, StoredTensor]  # by canonical name: the encoder, and one head if any
    scales: Mapping[str, StoredTensor]  # of 8-bit tensors, by the name in the file
    has_head: bool  # a masked language model's
    tokenizer: TokenizerFacts
    files: tuple[Path, ...]  # everything a build depends on

    def weights(self) -> dict[str, Float32]:
        """Read the weights: float32 by canonical name.

        A decoder equal to the word embeddings is left out: the head is tied then.
        Raises InvalidConfig if a file breaks while it is read, or holds NaN or infinity.
        """
        weights = {name: read_tensor(stored, self.scales) for name, stored in self.stored.items()}
        broken = [name for name, array in weights.items() if not np.isfinite(array).all()]
        if broken:
            cure = "the weights are damaged; fetch or train them again"
            where = f"{self.folder.name}: {broken[0]}"
            raise InvalidConfig([Fault(where, "holds NaN or infinity", cure)])
        decoder = weights.get(names.DECODER_WEIGHT)
        if decoder is not None and np.array_equal(decoder, weights[names.WORD_EMBEDDINGS]):
            del weights[names.DECODER_WEIGHT]
        return weights


def read_checkpoint(folder: Path, task: Task | None = None) -> Checkpoint:
    """Read and check everything but the weights. Raises InvalidConfig with every fault found.

    task: one of HEADS to read the encoder and that head; else the encoder and, if it is there, the
    masked language model's.
    """
    _refuse_what_is_no_folder(folder)
    faults: list[Fault] = []
    config = read_config(folder, faults)
    in_files = list_tensors(folder, faults)
    tokenizer = read_tokenizer(folder, config.vocab_size if config else None, faults)
    found = {name: in_files[key] for name, key in names.canonical_names(in_files).items()}
    has_head = f"{names.HEAD_DENSE}.weight" in found
    scales = {key: part for key, part in in_files.items() if key.endswith(SCALE_SUFFIX)}
    stored: dict[str, StoredTensor] = {}
    if config and found:
        if task is not None and task in HEADS:
            shapes = head_shapes(folder, task, config, found, faults)
        else:
            tied = _says_tied(config, found)
            shapes = names.head_shapes(config, tied=tied) if has_head else {}
        stored = _needed(folder, config, found, faults, scales=scales, head=shapes)
    if faults or config is None or tokenizer is None:
        raise InvalidConfig(faults)
    weights = weight_files(folder, faults)
    return Checkpoint(
        folder=folder,
        config=config,
        stored=stored,
        scales=scales,
        has_head=has_head,
        tokenizer=tokenizer,
        files=(folder / "config.json", *weights, folder / "tokenizer.json"),
    )


def _refuse_what_is_no_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    cure = "give the path of a folder with config.json, model.safetensors and tokenizer.json"
    if not folder.exists() and len(folder.parts) <= 2:  # "bert-base-uncased", "owner/name"
        cure = f"download it first (for example `hf download {folder} --local-dir DIR`) and {cure}"
    raise InvalidConfig([Fault(str(folder), "is no folder", cure)])


def _needed(
    folder: Path,
    config: BertConfig,
    found: Mapping[str, StoredTensor],
    faults: list[Fault],
    *,
    scales: Mapping[str, StoredTensor],
    head: Mapping[str, tuple[int, ...]],
) -> dict[str, StoredTensor]:
    """The tensors a build needs, by canonical name; what is missing or misshapen is a fault."""
    shapes = {**names.encoder_shapes(config), **head}
    where = f"{folder.name}/model.safetensors"
    _check_layers(config, found, where, faults)
    for name, shape in shapes.items():
        stored = found.get(name)
        if stored is None:
            cure = f"expected shape {list(shape)}; is this the whole checkpoint?"
            faults.append(Fault(f"{where}: {name}", "the tensor is missing", cure))
            continue
        if stored.shape != shape:
            cure = f"expected {list(shape)} by config.json"
            faults.append(Fault(f"{where}: {stored.name}", f"has shape {list(stored.shape)}", cure))
        check_type(stored, scales, faults)
    return {name: found[name] for name in shapes if name in found}


def _says_tied(config: BertConfig, found: Mapping[str, StoredTensor]) -> bool:
    """Tied unless the file has a decoder of its own, or config.json says that it must have one."""
    return names.DECODER_WEIGHT not in found and config.tied is not False


def _check_layers(
    config: BertConfig, found: Mapping[str, StoredTensor], where: str, faults: list[Fault]
) -> None:
    """Layers beyond those of config.json must not be left out silently: that is another model."""
    count = 1 + max(
        (layer for name in found if (layer := names.layer_of(name)) is not None), default=-1
    )
    if count > config.layers:
        cure = f"config.json says num_hidden_layers {config.layers}; make them agree"
        faults.append(Fault(where, f"holds {count} layers", cure))
