"""The best model as a checkpoint folder, checked, and as the next version of a model repository."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trivet.errors import EngineFailed, Fault, InvalidConfig
from trivet_backends.workshop.build import build
from trivet_backends.workshop.build_file import Json
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.entry import Published
from trivet_backends.workshop.finetune import tasks
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.finetune.heads import CLASSES, Trainee, write_weights
from trivet_backends.workshop.finetune.lessons import Lessons
from trivet_backends.workshop.finetune.options import PublishOptions
from trivet_backends.workshop.options import BuildOptions, Format, Precision, Task
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.tokenizer_file import copy_tokenizer

CHECKPOINT = "checkpoint"
_RECORD = "finetune.json"
_CHECKED_ROWS = 8
# What the written model may differ from the trained one: float32 by other sums (padding, batches).
_TOLERANCE = 1e-3


def write_checkpoint(
    model: Any,
    trainee: Any,
    source: Path,
    output: Path,
    lessons: Lessons,
    record: Mapping[str, Json],
) -> Path:
    """Write `output`/checkpoint: copy, check, rename. Returns the folder.

    The check reads it back, by the workshop and by transformers, and compares what it says of some
    validation rows, from their token ids, with what the trained head says.
    Raises EngineFailed if they differ; what was there before stays then.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".checkpoint-", dir=output))
    try:
        write_weights(model.cpu(), scratch)
        copy_tokenizer(source, scratch)
        text = json.dumps(record, indent=2) + "\n"
        (scratch / _RECORD).write_text(text, encoding="utf-8")
        scratch.chmod(0o755)
        _check(scratch, trainee.cpu(), lessons)
        return _put_in_place(scratch, output / CHECKPOINT)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check(folder: Path, trainee: Any, lessons: Lessons) -> None:
    import transformers

    read_checkpoint(folder, Task(lessons.task.built_as))
    read = getattr(transformers, CLASSES[lessons.task]).from_pretrained(folder).eval()
    reread = Trainee(read, lessons.task, frozen=False).eval()
    places = list(range(min(_CHECKED_ROWS, len(lessons.rows))))
    rows = lessons.take(places, 0)
    from_ids = Lessons(
        examples=lessons.examples,
        rows=lessons.rows,
        task=lessons.task,
        pad_id=lessons.pad_id,
        seed=lessons.seed,
    )
    with torch.inference_mode():
        wanted = trainee(lessons.batch(places, rows, "cpu")).float().numpy()
        found = reread(from_ids.batch(places, rows, "cpu")).float().numpy()
    difference = float(np.abs(wanted - found).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise EngineFailed(
            f"the written checkpoint differs from the trained model by {difference:.1e}; "
            "it is not published: please report this"
        )


def _put_in_place(scratch: Path, target: Path) -> Path:
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    scratch.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def publish(
    folder: Path,
    task: HeadTask,
    options: PublishOptions,
    scores: Mapping[str, float],
    metric: str,
    announce: Announce,
) -> Sequence[Published]:
    """Make the checkpoint the next version of its model: `trivet build` on it.

    Raises InvalidConfig if its score is not good enough; the repository is as it was then.
    """
    least, score = options.at_least, scores[metric]
    if least is not None and tasks.is_better(least, score, metric):
        cure = "it is not published; learn longer or from more, or lower --min-score"
        found = f"{metric} is {score:.4f}, not the {least:.4f} of --min-score"
        raise InvalidConfig([Fault(str(folder), found, cure)])
    build_options = BuildOptions(
        name=options.name,
        pipeline=options.pipeline,
        task=Task(task.built_as),
        precisions=tuple(Precision(word) for word in options.precision.split(",")),
        format=Format(options.format),
    )
    return build(folder, options.repository, build_options, announce)
