"""What a build makes beside its pipeline, if asked: similarity, labels, tokenize, a look inside.

- similarity: a pipeline of pairs over the same tokenizer and encoder, and the step that compares.
- zero_shot, few_shot: labels given with a request, by vectors of the build's own pipeline.
- tokenize, detokenize: the checkpoint's tokenizer as models of their own, for whoever asks.
- inspect: an encoder that gives out every layer, the step that picks one, and their pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop import beside_configs as configs
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.build_file import Json
from trivet_backends.workshop.check_batch import CheckBatch
from trivet_backends.workshop.entry import Entry
from trivet_backends.workshop.inspection import check_inspect, write_inspect
from trivet_backends.workshop.options import Beside, GraphOptions, Task
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.tensor_files import Float32

# Raise it when the same checkpoint and options would give another graph of every layer.
RECIPE = 1

Write = Callable[[Path], Mapping[str, Json]]


class MakeEntry(Protocol):
    """How a build makes an entry of its own source."""

    def __call__(
        self, model: str, kind: str, config: str, recipe: Mapping[str, Json], write: Write, /
    ) -> Entry: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a build lends: its checkpoint, its names, and how it makes entries.

    tokenizer: writes the tokenizer's file; tokenizer_recipe: what decides it. weights and batch:
    read when they are needed. digests: of the checkpoint's files.
    """

    bert: BertConfig
    options: GraphOptions
    names: configs.Names
    announce: Announce
    entry: MakeEntry
    tokenizer: Write
    tokenizer_recipe: Mapping[str, Json]
    weights: Callable[[], Mapping[str, Float32]]
    batch: Callable[[], CheckBatch]
    digests: Mapping[str, Json]


def entries_beside(bench: Bench, asked: Beside) -> list[Entry]:
    """The entries asked for, in order of use.

    Raises InvalidConfig if an embedding is needed and the build makes none.
    """
    _check_task(bench.options.task, asked)
    made: list[Entry] = []
    if asked.tokenize or asked.looks_inside:
        made += _tokenize(bench)
    if asked.similarity:
        made += _similarity(bench)
    if asked.zero_shot:
        made.append(_labelling(bench, bench.names.zero_shot, configs.zero_shot_config))
    if asked.few_shot:
        made.append(_labelling(bench, bench.names.few_shot, configs.few_shot_config))
    if asked.looks_inside:
        made += _inspect(bench, attentions=asked.attentions)
    return made


def _check_task(task: Task, asked: Beside) -> None:
    flags = (
        ("--also similarity", asked.similarity),
        ("--also zero_shot", asked.zero_shot),
        ("--also few_shot", asked.few_shot),
        ("--hidden-states", asked.hidden_states),
        ("--attentions", asked.attentions),
    )
    found, cure = f"needs an embedding, and this builds {task}", "leave it out, or use --task embed"
    faults = [Fault(flag, found, cure) for flag, is_asked in flags if is_asked]
    if faults and task is not Task.EMBED:
        raise InvalidConfig(faults)


def _tokenize(bench: Bench) -> list[Entry]:
    names, recipe, write = bench.names, bench.tokenizer_recipe, bench.tokenizer
    tokenize = configs.tokenize_config(names, bench.bert)
    detokenize = configs.detokenize_config(names)
    return [
        bench.entry(names.tokenize, "tokenize", tokenize, recipe, write),
        bench.entry(names.detokenize, "detokenize", detokenize, recipe, write),
    ]


def _similarity(bench: Bench) -> list[Entry]:
    names = bench.names
    step = configs.similarity_step_config(names, bench.bert)
    pipeline = configs.similarity_pipeline_config(names)
    return [
        bench.entry(names.similarity_step, "similarity", step, {"task": "similarity"}, _nothing),
        bench.entry(
            names.similarity,
            "pipeline",
            pipeline,
            {"task": "similarity", "encoder": names.encoder},
            _nothing,
        ),
    ]


def _labelling(bench: Bench, model: str, config: Callable[[configs.Names], str]) -> Entry:
    recipe: dict[str, Json] = {"task": "labelling", "pipeline": bench.names.pipeline}
    return bench.entry(model, "pipeline", config(bench.names), recipe, _nothing)


def _inspect(bench: Bench, *, attentions: bool) -> list[Entry]:
    names, bert = bench.names, bench.bert

    def write(folder: Path) -> Mapping[str, Json]:
        path = folder / "model.onnx"
        bench.announce(f"{names.inspect}: writing the graph of every layer")
        write_inspect(bert, bench.weights(), path, attentions=attentions)
        bench.announce(f"{names.inspect}: comparing it with plain numpy")
        return {"max_difference": check_inspect(path, bert, bench.weights(), bench.batch())}

    encoder = configs.inspect_config(names, bert, attentions=attentions)
    recipe: dict[str, Json] = {
        "recipe": RECIPE,
        "inputs": dict(bench.digests),
        "attentions": attentions,
        "precision": "fp32",
    }
    step = configs.layers_config(names, bert, bench.options, attentions=attentions)
    pipeline = configs.inspect_pipeline_config(names, bert, attentions=attentions)
    return [
        bench.entry(names.inspect, "inspect", encoder, recipe, write),
        bench.entry(names.layers, "layers", step, {"task": "inspect"}, _nothing),
        bench.entry(
            names.inspect_pipeline,
            "pipeline",
            pipeline,
            {"task": "inspect", "encoder": names.inspect},
            _nothing,
        ),
    ]


def _nothing(folder: Path) -> Mapping[str, Json]:
    """A version without a file."""
    return {}
