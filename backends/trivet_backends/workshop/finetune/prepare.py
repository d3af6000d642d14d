"""Everything before the first weight moves, and all that can be wrong with it: no torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build_file import Json, digests
from trivet_backends.workshop.checkpoint import Checkpoint, read_checkpoint
from trivet_backends.workshop.finetune import split
from trivet_backends.workshop.finetune.data import read_examples
from trivet_backends.workshop.finetune.display import Display
from trivet_backends.workshop.finetune.encode import Encoded, Encoder, Masking
from trivet_backends.workshop.finetune.examples import FOLLOWS, HeadTask, Rated
from trivet_backends.workshop.finetune.in_place import check_labels
from trivet_backends.workshop.finetune.options import FinetuneOptions
from trivet_backends.workshop.finetune.split import Parts

TOKENIZER = "tokenizer.json"
_MAX_TOKENS = {HeadTask.ANSWER: 384}
_USUAL_MAX_TOKENS = 128
_LARGE = 20.0  # a number that a head's usual steps do not reach in a thousand of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run's checkpoint and rows, complete and checked."""

    checkpoint: Checkpoint
    parts: Parts
    labels: Sequence[str]  # in the order of the head's outputs; of fill_mask and answer none
    training: Encoded
    validation: Encoded
    masking: Masking | None  # of fill_mask
    class_weights: np.ndarray | None  # float32 [labels]
    decisive: dict[str, Json]  # all that decides what is learned
    checkpoint_digests: dict[str, Json]


def prepare(options: FinetuneOptions, display: Display) -> Prepared:
    """Read the checkpoint and the rows, judge them, and tell what a person should know.

    Raises InvalidConfig with everything that is wrong with the first of them that is.
    """
    checkpoint = read_checkpoint(options.checkpoint)
    max_tokens = _max_tokens(options, checkpoint, display)
    if options.layers is not None and options.layers > checkpoint.config.layers:
        cure = f"the encoder has {checkpoint.config.layers} layers: say no more than that"
        raise InvalidConfig([Fault("--layers", f"{options.layers} are asked for", cure)])
    parts = _parts(options)
    display.say(
        f"rows: {len(parts.training):,} to learn from, {len(parts.validation):,} to judge by"
    )
    labels, weights = _labels(options, parts, display)
    if options.publish:
        check_labels(options.publish.repository, options.publish.name, options.task, labels)
    encoder = Encoder(
        tokenizer=checkpoint.folder / TOKENIZER,
        task=options.task,
        labels=labels,
        max_tokens=max_tokens,
    )
    training = encoder.encode(parts.training, options.data.training.name)
    validation = encoder.encode(parts.validation, _validation_name(options))
    cut = training.cut + validation.cut
    if cut:
        display.say(f"cut: {cut:,} rows are longer than {max_tokens} tokens (--max-tokens)")
    files = digests(checkpoint.files)
    return Prepared(
        checkpoint=checkpoint,
        parts=parts,
        labels=labels,
        training=training,
        validation=validation,
        masking=_masking(checkpoint) if options.task is HeadTask.FILL_MASK else None,
        class_weights=weights,
        decisive={
            **options.decisive(),
            "max_tokens": max_tokens,
            **_data_digests(options),
            "checkpoint": files,
        },
        checkpoint_digests=files,
    )


def _max_tokens(options: FinetuneOptions, checkpoint: Checkpoint, display: Display) -> int:
    """Of a row: as asked for, else what is usual, as far as the model has positions."""
    wanted, most = options.loop.max_tokens, checkpoint.config.max_positions
    if wanted is None:
        usual = _MAX_TOKENS.get(options.task, _USUAL_MAX_TOKENS)
        if usual > most:
            display.say(f"rows: of {most} tokens at most, the model's positions, not of {usual}")
        return min(usual, most)
    if wanted > most:
        cure = f"the model has {most} positions: say --max-tokens {most}, or less"
        raise InvalidConfig([Fault("--max-tokens", f"{wanted} are asked for", cure)])
    return wanted


def _parts(options: FinetuneOptions) -> Parts:
    data = options.data
    examples = read_examples(data.training, options.task, data.columns, data.format)
    if data.validation is None:
        return split.split(examples, data.validation_share, options.loop.seed)
    held = read_examples(data.validation, options.task, data.columns, data.format)
    return Parts(training=examples, validation=held)


def _labels(
    options: FinetuneOptions, parts: Parts, display: Display
) -> tuple[Sequence[str], np.ndarray | None]:
    """The labels, and their weights if rare ones are to be weighed up."""
    data = options.data
    if options.task is HeadTask.REGRESSION:
        display.say(_numbers_told(parts))
        return (data.columns.label,), None  # what the number is called
    if options.task is HeadTask.NEXT_SENTENCE:
        data = replace(data, labels=FOLLOWS)
    elif not options.task.has_labels:
        return (), None
    labels = split.labels_of(parts.training, data.labels, data.training.name)
    split.check_known(parts.validation, labels, _validation_name(options))
    counts = split.balance(parts.training, labels)
    for line in split.balance_told(counts, balanced=options.loop.balance):
        display.say(line)
    return labels, _weights(options, counts, len(parts.training))


def _numbers_told(parts: Parts) -> str:
    values = [row.value for row in parts.training if isinstance(row, Rated)]
    line = f"numbers: {min(values):g} to {max(values):g}, {np.mean(values):g} on average"
    if np.abs(values).max() > _LARGE:
        line += "; a head learns so large ones slowly: divide them, or raise --learning-rate"
    return line


def _weights(options: FinetuneOptions, counts: Mapping[str, int], rows: int) -> np.ndarray | None:
    if not options.loop.balance:
        return None
    if options.task is HeadTask.MULTI_LABEL:
        return split.positive_weights(counts, rows)
    return split.class_weights(counts)


def _validation_name(options: FinetuneOptions) -> str:
    return (options.data.validation or options.data.training).name


def _masking(checkpoint: Checkpoint) -> Masking:
    mask = checkpoint.tokenizer.mask_token_id
    if mask is None:
        cure = "give a checkpoint whose tokenizer has it"
        where = f"{checkpoint.folder.name}/{TOKENIZER}"
        raise InvalidConfig([Fault(where, "knows no [MASK] token", cure)])
    return Masking(mask_id=mask, vocab_size=checkpoint.config.vocab_size)


def _data_digests(options: FinetuneOptions) -> dict[str, Json]:
    """The content of both files, whatever their names."""
    data = options.data
    paths: dict[str, Path | None] = {"training": data.training, "validation": data.validation}
    return {
        f"{part}_sha256": digests([path])[path.name] if path else None
        for part, path in paths.items()
    }
