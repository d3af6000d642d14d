"""Exports of tiny checkpoints with every head, each framework in a process of its own.

Frameworks are not loaded into the tests' own process: JAX objects to its forks, and TensorFlow
would stay in its memory.

    python -m tests.harness.exports FORMAT FOLDER
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness.head_checkpoints import write_head_checkpoint
from tests.unit.workshop.checkpoints import TINY, Recipe, write_checkpoint
from trivet_backends.workshop.bert_config import Activation
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.export.sample import check_batches, inputs_of
from trivet_backends.workshop.export.source import Source, read_source, signature
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.numpy_bert import NumpyBert
from trivet_backends.workshop.options import GraphOptions, Pooling, Task
from trivet_backends.workshop.parity import COMPARE

FILL_MASK = GraphOptions(task=Task.FILL_MASK, candidates=20)
OPTIONS = {
    "embed": GraphOptions(task=Task.EMBED, hidden_state=True),
    "embed-cls": GraphOptions(task=Task.EMBED, pooling=Pooling.CLS, normalize=False),
    "embed-max": GraphOptions(task=Task.EMBED, pooling=Pooling.MAX),
    "fill_mask": FILL_MASK,
    **{task.value: GraphOptions(task=task) for task in HEADS},
}
_OF_EACH_FRAMEWORK = (ExportFormat.JAX, ExportFormat.SAVED_MODEL, ExportFormat.TORCHSCRIPT)


def cases(format_: ExportFormat) -> list[str]:
    """The names of what is exported: every head, and by one format of each framework every
    activation with an untied decoder."""
    activations = Activation if format_ in _OF_EACH_FRAMEWORK else ()
    return [*OPTIONS, *(activation.value for activation in activations)]


def source_of(folder: Path, options: GraphOptions, recipe: Recipe | None = None) -> Source:
    """A tiny checkpoint with the head, written to `folder` and read."""
    if options.task in HEADS:
        write_head_checkpoint(folder, options.task)
    else:
        write_checkpoint(folder, recipe)
    checkpoint = read_checkpoint(folder, options.task)
    return read_source(checkpoint, options)


@cache
def differences(format_: ExportFormat) -> dict[str, list[float | None]]:
    """Of each case, each batch's to plain numpy; [None] where the format is only looked at."""
    # Not optimized: every batch's shape is compiled anew, and used once.
    flags = {"TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, format_, folder]
        subprocess.run(command, check=True, env=os.environ | flags)
        found: dict[str, list[float | None]] = json.loads(Path(folder, "found.json").read_text())
    return found


def _source_of_case(case: str, folder: Path) -> Source:
    if case in OPTIONS:
        return source_of(folder, OPTIONS[case])
    config = dataclasses.replace(TINY, activation=Activation(case))
    untied = Recipe(config=config, untied=True, keys={"tie_word_embeddings": False})
    return source_of(folder, FILL_MASK, untied)


def _compared(source: Source, format_: ExportFormat, folder: Path) -> Iterator[float | None]:
    way, options = WAYS[format_], source.options
    way.write(source, folder)
    if way.inspect:
        yield way.inspect(source, folder)
        return
    assert way.run
    reference = NumpyBert(source.config, source.weights)
    for batch in check_batches(source.checkpoint, options)[:2]:  # 8 rows with padding, 1 without
        outputs = way.run(folder, options, inputs_of(batch, options))
        named = dict(zip(signature(options).outputs, outputs, strict=True))
        yield COMPARE[options.task](named, reference, options, batch).max_difference


def main(format_: ExportFormat, folder: Path) -> None:
    """Export and compare every case; leaves found.json."""
    found = {}
    for case in cases(format_):
        written = folder / f"{case}-written"
        written.mkdir()
        found[case] = list(_compared(_source_of_case(case, folder / case), format_, written))
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(ExportFormat(sys.argv[1]), Path(sys.argv[2]))
