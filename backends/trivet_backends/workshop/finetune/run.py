"""From options to a published model: the thread that `trivet finetune` follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from trivet_backends.workshop.build_file import Json
from trivet_backends.workshop.entry import Published
from trivet_backends.workshop.finetune import (
    features,
    heads,
    metrics,
    picture,
    pooling,
    state,
    tasks,
)
from trivet_backends.workshop.finetune.display import Display, Silence
from trivet_backends.workshop.finetune.encode import Row
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.finetune.lessons import Lessons, masked_once
from trivet_backends.workshop.finetune.loop import Loop, Places
from trivet_backends.workshop.finetune.options import FinetuneOptions
from trivet_backends.workshop.finetune.prepare import Prepared, prepare
from trivet_backends.workshop.finetune.publish import publish, write_checkpoint
from trivet_backends.workshop.options import Pooling

# One process computes features while the others wait; gloo's own half hour would end them.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a run. scores: of the best model, on the validation."""

    checkpoint: Path
    step: int
    steps: int
    scores: Mapping[str, float]
    seconds: float  # of training, without the features
    published: Sequence[Published]


def finetune(options: FinetuneOptions, display: Display) -> Outcome | None:
    """Train, write, publish. Every process of a run calls it; None in all but the main one.

    Raises InvalidConfig for whatever is wrong with files or options, before anything is written.
    """
    accelerator = _accelerator(options)
    if not accelerator.is_main_process:
        display = Silence()
    prepared = prepare(options, display)
    if accelerator.is_main_process:
        decisive = {**prepared.decisive, "processes": accelerator.num_processes}
        state.begin(options.output, decisive, resume=options.resume)
    accelerator.wait_for_everyone()
    model = _model(prepared, options)
    training, validation = _lessons(prepared, options, model, accelerator, display)
    trainee = heads.Trainee(model, options.task, frozen=not options.loop.unfreeze)
    places = Places(folder=options.output)
    loop = Loop(
        accelerator=accelerator,
        trainee=trainee,
        training=training,
        validation=validation,
        labels=prepared.labels,
        options=options.loop,
        places=places,
        class_weights=prepared.class_weights,
        display=display,
    )
    progress = loop.run()
    accelerator.wait_for_everyone()
    is_main = accelerator.is_main_process
    best = loop.take_best()
    accelerator.end_training()
    if not is_main:
        return None
    scores = _scores_of(places, progress.best_step)
    draw(places, options.task)
    display.say("writing the checkpoint, and reading it back")
    record: dict[str, Json] = {
        "task": options.task,
        "source": options.checkpoint.resolve().name,
        "step": progress.best_step,
        "scores": scores,
        "options": prepared.decisive,
    }
    folder = write_checkpoint(model, best, options.checkpoint, options.output, validation, record)
    published: Sequence[Published] = ()
    if options.publish:
        metric = tasks.BEST_BY[options.task]
        published = publish(folder, options.task, options.publish, scores, metric, display.say)
    return Outcome(
        checkpoint=folder,
        step=progress.best_step,
        steps=progress.step,
        scores=scores,
        seconds=progress.seconds,
        published=published,
    )


def draw(places: Places, task: HeadTask) -> None:
    """The learning curve, as PNG and as SVG."""
    targets = [places.folder / f"learning-curve.{ending}" for ending in ("png", "svg")]
    picture.draw(places.metrics, tasks.BEST_BY[task], places.folder.name, targets)


def _accelerator(options: FinetuneOptions) -> Any:
    import torch
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    return Accelerator(
        cpu=not (options.loop.use_gpu and torch.cuda.is_available()),
        mixed_precision=options.loop.precision.value,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )


def _model(prepared: Prepared, options: FinetuneOptions) -> Any:
    model = heads.make_model(
        prepared.checkpoint,
        options.task,
        prepared.labels,
        dropout=options.loop.dropout,
        seed=options.loop.seed,
    )
    if options.layers is not None:
        heads.keep_layers(model, options.layers)
    if options.pooling is Pooling.MEAN and options.task.is_of_texts:
        pooling.append_mean_layer(model)
    return model


def _lessons(
    prepared: Prepared, options: FinetuneOptions, model: Any, accelerator: Any, display: Display
) -> tuple[Lessons, Lessons]:
    """To learn from, and to judge by."""
    frozen, masking, seed = not options.loop.unfreeze, prepared.masking, options.loop.seed
    made = []
    for name, examples, rows in (
        ("learning", prepared.parts.training, prepared.training.rows),
        ("judging", prepared.parts.validation, prepared.validation.rows),
    ):
        is_judged_by = name == "judging"
        if masking and (frozen or is_judged_by):
            rows = masked_once(rows, masking, seed + is_judged_by)
        made.append(
            Lessons(
                examples=examples,
                rows=rows,
                task=options.task,
                pad_id=prepared.checkpoint.config.pad_token_id,
                seed=seed,
                masking=None if frozen or is_judged_by else masking,
                features=_features(prepared, options, model, accelerator, rows, name, display)
                if frozen
                else None,
            )
        )
    return made[0], made[1]


def _features(
    prepared: Prepared,
    options: FinetuneOptions,
    model: Any,
    accelerator: Any,
    rows: Sequence[Row],
    name: str,
    display: Display,
) -> features.Features:
    files = {**prepared.checkpoint_digests, "pooling": options.pooling, "layers": options.layers}
    target = options.cache.folder / features.key_of(files, options.task, rows)
    if accelerator.is_main_process:
        features.compute(
            model,
            rows,
            options.task,
            target,
            device=accelerator.device,
            most_bytes=options.cache.most_bytes,
            done=lambda done, total: display.progress(f"features for {name}", done, total),
        )
    accelerator.wait_for_everyone()
    return features.opened(rows, options.task, target)


def _scores_of(places: Places, step: int) -> dict[str, float]:
    """The validation's line of a step."""
    lines = metrics.read_lines(places.metrics)
    line = next(at for at in lines if (at["kind"], at["step"]) == ("validation", step))
    return {name: float(value) for name, value in line.items() if name not in ("kind", "step")}
