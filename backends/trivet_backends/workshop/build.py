"""From a checkpoint folder to models in a repository: the thread that `trivet build` follows.

A build makes a tokenizer, an encoder in every precision asked for, for fill-mask what turns ids
into words, and the pipeline that joins them. What is up to date already is left alone.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop import beside_configs, configs
from trivet_backends.workshop.beside import Bench, entries_beside
from trivet_backends.workshop.build_file import Json, digests
from trivet_backends.workshop.check_batch import CheckBatch, check_batch
from trivet_backends.workshop.checkpoint import Checkpoint, read_checkpoint
from trivet_backends.workshop.configs import Names
from trivet_backends.workshop.entry import Entry, Published, publish
from trivet_backends.workshop.head_configs import has_last_step
from trivet_backends.workshop.heads import HEADS, Labels, read_labels, told_task
from trivet_backends.workshop.options import (
    BuildOptions,
    Format,
    GraphOptions,
    Pooling,
    Precision,
    Task,
)
from trivet_backends.workshop.parity import check_parity
from trivet_backends.workshop.precision import write_graph
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.tensor_files import Float32
from trivet_backends.workshop.tokenizer_file import trained_pooling

# Raise one when the same checkpoint and options would give another graph: it makes builds outdated.
RECIPE = 3
RECIPES: Mapping[tuple[Task, Format], int] = {  # of tasks whose graph changed alone
    (Task.FILL_MASK, Format.ONNX): 4,
    (Task.FILL_MASK, Format.OPENVINO): 5,
    (Task.FILL_MASK, Format.TENSORRT): 4,
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TOKENIZER = "tokenizer.json"
LABELS_FILE = "labels.txt"


def build(
    folder: Path, repository: Path, options: BuildOptions, announce: Announce
) -> list[Published]:
    """Bring the repository up to date with a checkpoint folder; returns its models in order of use.

    announce: called with what begins now, for a person.
    Raises InvalidConfig if the checkpoint or an option is no good, a graph misses its bar or a name
    is taken; the repository is as it was then.
    """
    if options.format is Format.TENSORRT and Precision.INT8 in options.precisions:
        cure = "use --precision fp32,fp16, or --to onnx"
        raise InvalidConfig([Fault("--precision int8", "TensorRT is built in fp32 or fp16", cure)])
    announce(f"reading {folder}")
    checkpoint = read_checkpoint(folder, options.task or told_task(folder))
    graph = graph_options(checkpoint, options)
    names = _names(folder, options, graph.task)
    announce("comparing with the repository")
    desk = _Desk(
        checkpoint=checkpoint,
        options=graph,
        names=names,
        labels=head_labels(checkpoint, options, graph.task),
        format=options.format,
        announce=announce,
    )
    entries = [desk.tokenizer(), *map(desk.encoder, *_encoders(names, options))]
    if graph.task is Task.FILL_MASK:
        entries.append(desk.candidates())
    if graph.task in HEADS and has_last_step(graph.task):
        entries.append(desk.last_step())
    beside = entries_beside(desk.bench(), options.beside)
    return publish(repository, [*entries, desk.pipeline(), *beside])


def _encoders(names: Names, options: BuildOptions) -> tuple[list[str], list[Precision]]:
    """The encoders' names and precisions; the pipeline runs the first, under the plain name."""
    first, *others = options.precisions
    plain = [names.encoder, *(f"{names.encoder}_{precision}" for precision in others)]
    return plain, [first, *others]


def graph_options(checkpoint: Checkpoint, options: BuildOptions) -> GraphOptions:
    """What the graph computes: as asked, else what the checkpoint suggests.

    Raises InvalidConfig if the checkpoint has no head for the task.
    """
    usual = Task.FILL_MASK if checkpoint.has_head else Task.EMBED
    task = options.task or told_task(checkpoint.folder) or usual
    if task in HEADS:
        return GraphOptions(task=task)
    where = checkpoint.folder.name
    if task is Task.FILL_MASK and not checkpoint.has_head:
        found, cure = "has no masked language model head", "build it with --task embed"
        raise InvalidConfig([Fault(where, found, cure)])
    if task is Task.FILL_MASK and checkpoint.tokenizer.mask_token_id is None:
        found, cure = "knows no [MASK] token", "add it to the vocabulary, or use --task embed"
        raise InvalidConfig([Fault(f"{where}/{_TOKENIZER}", found, cure)])
    if task is Task.FILL_MASK:
        most = checkpoint.config.vocab_size
        return GraphOptions(task=task, candidates=min(options.candidates, most))
    return GraphOptions(
        task=task,
        pooling=options.pooling or trained_pooling(checkpoint.folder) or Pooling.MEAN,
        normalize=options.normalize,
        hidden_state=options.hidden_state,
    )


def head_labels(checkpoint: Checkpoint, options: BuildOptions, task: Task) -> Labels | None:
    """The labels of the head, where it has any of its own."""
    if task.has_labels:
        count = checkpoint.stored[f"{HEADS[task].dense}.bias"].shape[0]
        return read_labels(checkpoint.folder, count, options.labels)
    if options.labels is not None:
        found, cure = f"{task} has no labels", "leave it out, or build classify or tag_tokens"
        raise InvalidConfig([Fault("--labels", found, cure)])
    return None


def _names(folder: Path, options: BuildOptions, task: Task) -> Names:
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", folder.resolve().name).lstrip("_.-") or "model"
    names = Names(
        encoder=safe if options.name is None else options.name,
        pipeline=task.value if options.pipeline is None else options.pipeline,
    )
    cure = "use letters, digits, '_', '-' and '.', beginning with a letter or digit"
    faults = [
        Fault(flag, f"{name!r} is no model name", cure)
        for flag, name in (("--name", names.encoder), ("--pipeline", names.pipeline))
        if not _NAME.fullmatch(name)
    ]
    if faults:
        raise InvalidConfig(faults)
    return names


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """Makes the entries of one build, and reads the weights once for all that need them."""

    checkpoint: Checkpoint
    options: GraphOptions
    names: Names
    labels: Labels | None
    format: Format
    announce: Announce

    def tokenizer(self) -> Entry:
        text = configs.tokenizer_config(
            self.names, self.checkpoint.config, self.options.task, self.format
        )
        return self._entry(
            self.names.tokenizer, "tokenizer", text, self._tokenizer_recipe, self._copy_tokenizer
        )

    def encoder(self, name: str, precision: Precision) -> Entry:
        text = configs.encoder_config(
            name, self.checkpoint.config, self.options, precision, self.format, self.labels
        )
        recipe: dict[str, Json] = {
            "recipe": RECIPES.get((self.options.task, self.format), RECIPE),
            "inputs": {name: self._digests[name] for name in self._digests if name != _TOKENIZER},
            "options": asdict(self.options),
            "precision": precision,
        }
        if self.format is not Format.ONNX:  # recipes written before there was another lack it
            recipe["format"] = self.format
        return self._entry(
            name, "encoder", text, recipe, lambda folder: self._write(folder, name, precision)
        )

    def candidates(self) -> Entry:
        text = configs.candidates_config(self.names, self.options, self.format)
        return self._entry(
            self.names.candidates, "candidates", text, self._tokenizer_recipe, self._copy_tokenizer
        )

    def last_step(self) -> Entry:
        """What makes labels, spans or answers of a head's numbers."""
        text = configs.labels_config(self.names, self.options.task, self.labels)
        recipe: dict[str, Json] = {"task": self.options.task}
        if self.labels:
            recipe["labels"] = self.labels.names
        return self._entry(self.names.labels, "labels", text, recipe, self._write_labels)

    def pipeline(self) -> Entry:
        text = configs.build_pipeline_config(
            self.names, self.checkpoint.config, self.options, self.labels, self.format
        )
        recipe: dict[str, Json] = {"task": self.options.task, "encoder": self.names.encoder}
        return self._entry(self.names.pipeline, "pipeline", text, recipe, lambda folder: {})

    def bench(self) -> Bench:
        """What is lent to those who make models beside the pipeline."""
        names = beside_configs.Names(
            encoder=self.names.encoder,
            tokenizer=self.names.tokenizer,
            pipeline=self.names.pipeline,
            usual=self.names.pipeline == self.options.task.value,
        )
        return Bench(
            bert=self.checkpoint.config,
            options=self.options,
            names=names,
            announce=self.announce,
            entry=self._entry,
            tokenizer=self._copy_tokenizer,
            tokenizer_recipe=self._tokenizer_recipe,
            weights=lambda: self._weights,
            batch=lambda: self._batch,
            digests=self._digests,
        )

    @property
    def _source(self) -> str:
        return self.checkpoint.folder.resolve().name

    @cached_property
    def _digests(self) -> Mapping[str, Json]:
        return digests(self.checkpoint.files)

    @cached_property
    def _weights(self) -> Mapping[str, Float32]:
        self.announce("reading the weights")
        return self.checkpoint.weights()

    @cached_property
    def _batch(self) -> CheckBatch:
        is_fill_mask = self.options.task is Task.FILL_MASK
        mask = self.checkpoint.tokenizer.mask_token_id if is_fill_mask else None
        return check_batch(self.checkpoint.folder / _TOKENIZER, self.checkpoint.config, mask)

    @property
    def _tokenizer_recipe(self) -> dict[str, Json]:
        return {"inputs": {_TOKENIZER: self._digests[_TOKENIZER]}}

    def _entry(
        self,
        model: str,
        kind: str,
        config: str,
        recipe: Mapping[str, Json],
        write: Callable[[Path], Mapping[str, Json]],
    ) -> Entry:
        return Entry(
            model=model,
            kind=kind,
            source=self._source,
            config=config,
            recipe=recipe,
            write=write,
        )

    def _copy_tokenizer(self, folder: Path) -> Mapping[str, Json]:
        shutil.copyfile(self.checkpoint.folder / _TOKENIZER, folder / _TOKENIZER)
        return {}

    def _write_labels(self, folder: Path) -> Mapping[str, Json]:
        if self.labels:
            text = "".join(f"{name}\n" for name in self.labels.names)
            (folder / LABELS_FILE).write_text(text, encoding="utf-8")
        return {}

    def _write(self, folder: Path, name: str, precision: Precision) -> Mapping[str, Json]:
        """Write the graph and check it."""
        begun = time.perf_counter()
        config, weights, path = self.checkpoint.config, self._weights, folder / self.format.file
        self.announce(f"{name}: writing the graph in {precision} for {self.format.backend}")
        # The tokenizer of a pipeline tells target_ids with every text.
        write_graph(config, weights, self.options, precision, path, always_fed=True)
        self.announce(f"{name}: comparing it with plain numpy")
        parity = check_parity(path, config, weights, self.options, precision, self._batch)
        return {**asdict(parity), "seconds": round(time.perf_counter() - begun, 2)}
