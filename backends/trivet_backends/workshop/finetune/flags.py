"""The flags of `trivet finetune`, and the options they make."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.data import Columns, FileFormat
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.finetune.options import (
    DataOptions,
    FinetuneOptions,
    LoopOptions,
    MixedPrecision,
    PublishOptions,
)
from trivet_backends.workshop.hub import checkpoint_folder
from trivet_backends.workshop.options import Format, Pooling, Precision
from trivet_backends.workshop.tokenizer_file import trained_pooling

# A frozen encoder's head is small and learns fast; a whole encoder forgets if it is hurried.
_EPOCHS = {False: 20, True: 3}
_RATES = {False: 1e-3, True: 5e-4}
_ENCODER_RATE = 5e-5
_MAX_TOKENS = {HeadTask.ANSWER: 384}
_USUAL_MAX_TOKENS = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="folder with config.json, model.safetensors and tokenizer.json of a BERT, or "
        "OWNER/NAME[@REVISION] of one on the Hub",
    )
    add = parser.add_argument
    add("--task", choices=[task.value for task in HeadTask], required=True, help="what to learn")
    add("--train", metavar="FILE", type=Path, required=True, help="rows to learn from")
    add(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder of the run: checkpoints, metrics, picture, best model",
    )
    add("--resume", action="store_true", help="go on with the run in --output")
    _add_data(parser.add_argument_group("rows"))
    _add_learning(parser.add_argument_group("learning"))
    _add_machine(parser.add_argument_group("machine"))
    _add_publishing(parser.add_argument_group("publishing"))


def _add_data(group: argparse._ArgumentGroup) -> None:
    add, usual = group.add_argument, Columns()
    add(
        "--validation",
        metavar="FILE",
        type=Path,
        help="rows to judge by (default: a share of the rows to learn from)",
    )
    add(
        "--validation-share",
        metavar="SHARE",
        type=_share,
        default=0.1,
        help="without --validation: the share of rows held back, by chance and --seed "
        "(default: 0.1)",
    )
    formats = [format_.value for format_ in FileFormat]
    add("--format", choices=formats, help="how files hold rows (default: by their ending)")
    add("--text-column", metavar="NAME", default=usual.text, help="(default: text)")
    add("--pair-column", metavar="NAME", default="", help="classify: a second text (default: none)")
    add("--label-column", metavar="NAME", default=usual.label, help="(default: label)")
    add("--question-column", metavar="NAME", default=usual.question, help="(default: question)")
    add("--passage-column", metavar="NAME", default=usual.passage, help="(default: passage)")
    add("--answer-column", metavar="NAME", default=usual.answer, help="(default: answer)")
    add("--start-column", metavar="NAME", default=usual.start, help="(default: start, if there)")
    add(
        "--words-column",
        metavar="NAME",
        help="tag_tokens: a name, or CoNLL's number (default: words; 1)",
    )
    add(
        "--tags-column",
        metavar="NAME",
        help="tag_tokens: a name, or CoNLL's number (default: tags; the last)",
    )
    add(
        "--labels",
        metavar="LIST",
        type=_labels,
        default=(),
        help="all labels, with commas, in the order of the head's outputs (default: those of the "
        "rows to learn from, sorted)",
    )
    add(
        "--max-tokens",
        metavar="N",
        type=_count,
        help="of a row; what is longer is cut, or for "
        "answer read in windows (default: 128, for answer 384)",
    )


def _add_learning(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--unfreeze",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train the encoder, too (default: no; --freeze says so)",
    )
    add("--freeze", dest="unfreeze", action="store_false", help=argparse.SUPPRESS)
    add(
        "--pooling",
        choices=[Pooling.CLS.value, Pooling.MEAN.value],
        help="classify: what the head sees, the first token or the mean of all, which is made by "
        "one more layer (default: what 1_Pooling/config.json of the checkpoint says, else cls)",
    )
    add(
        "--layers",
        metavar="N",
        type=_count,
        help="keep the encoder's first N alone: the last of a sentence encoder may know less of "
        "what you ask than those before it (default: all)",
    )
    add(
        "--epochs",
        metavar="N",
        type=_count,
        help="most rounds through the rows (default: 20; unfrozen 3)",
    )
    add(
        "--batch-size",
        metavar="ROWS",
        type=_count,
        default=32,
        help="over all processes (default: 32)",
    )
    add(
        "--gradient-accumulation",
        metavar="N",
        type=_count,
        default=1,
        help="batches per step (default: 1)",
    )
    add(
        "--learning-rate",
        metavar="RATE",
        type=_positive,
        help="of the head (default: 1e-3; unfrozen 5e-4)",
    )
    add(
        "--encoder-learning-rate",
        metavar="RATE",
        type=_positive,
        default=_ENCODER_RATE,
        help="with --unfreeze (default: 5e-5)",
    )
    add("--weight-decay", metavar="W", type=_not_negative, default=0.01, help="(default: 0.01)")
    add(
        "--warm-up",
        metavar="SHARE",
        type=_share_or_none,
        default=0.1,
        help="of all steps (default: 0.1)",
    )
    add(
        "--dropout",
        metavar="SHARE",
        type=_share_or_none,
        help="before the head of classify and tag_tokens (default: as config.json says)",
    )
    add(
        "--clip",
        metavar="NORM",
        type=_not_negative,
        default=1.0,
        help="longest gradient; 0: any (default: 1)",
    )
    add("--balance", action="store_true", help="weigh rare labels up")
    add(
        "--seed",
        metavar="N",
        type=_whole,
        default=0,
        help="of order, split, new heads, dropout and masks (default: 0)",
    )
    add(
        "--evaluate-every",
        metavar="STEPS",
        type=_whole,
        default=0,
        help="(default: 0, after each epoch)",
    )
    add(
        "--checkpoint-every",
        metavar="STEPS",
        type=_whole,
        default=0,
        help="beside those at each evaluation (default: 0, none)",
    )
    add(
        "--patience",
        metavar="N",
        type=_whole,
        default=3,
        help="end after so many evaluations without a better one; 0: never (default: 3)",
    )


def _add_machine(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--mixed-precision",
        choices=[kind.value for kind in MixedPrecision],
        default="no",
        help="what matrices are multiplied in; fp16 on GPUs only (default: no)",
    )
    add(
        "--processes",
        metavar="N",
        type=_count,
        default=1,
        help="workers on this machine; on "
        "several, start this command with torchrun or accelerate launch (default: 1)",
    )
    add("--cpu", action="store_true", help="leave GPUs alone")
    add(
        "--cache",
        metavar="DIR",
        type=Path,
        help="where features of frozen encoders are kept "
        "(default: $XDG_CACHE_HOME/trivet/features, else ~/.cache/trivet/features)",
    )


def _add_publishing(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--model-repository",
        metavar="DIR",
        type=Path,
        help="build the best model as the next version of this repository's",
    )
    add("--name", help="name of the model (default: the output folder's name)")
    add("--pipeline", help="name of the pipeline from text to answer (default: the task's name)")
    add(
        "--precision",
        choices=[kind.value for kind in Precision],
        default="fp32",
        help="of the published graph (default: fp32)",
    )
    add(
        "--to",
        choices=[format_.value for format_ in Format],
        default=Format.ONNX.value,
        help="engine of the published graph (default: onnx)",
    )
    add(
        "--min-score",
        metavar="SCORE",
        type=float,
        help="publish only what reaches it: accuracy "
        "of classify, f1 of tag_tokens and answer; of fill_mask the loss, at most",
    )


def options_of(args: argparse.Namespace) -> FinetuneOptions:
    """The options of a parsed command line. Raises InvalidConfig for flags that do not agree."""
    task = HeadTask(args.task)
    columns = _columns(args)
    publish = _publish(args)
    checkpoint = checkpoint_folder(args.checkpoint)  # after what costs no download
    return FinetuneOptions(
        checkpoint=checkpoint,
        task=task,
        pooling=_pooling(args, task, checkpoint),
        layers=args.layers,
        data=DataOptions(
            training=args.train,
            validation=args.validation,
            validation_share=args.validation_share,
            format=args.format and FileFormat(args.format),
            columns=columns,
            labels=args.labels,
        ),
        loop=_loop(args, task),
        output=args.output,
        cache=args.cache or _usual_cache(),
        resume=args.resume,
        publish=publish,
    )


def _loop(args: argparse.Namespace, task: HeadTask) -> LoopOptions:
    return LoopOptions(
        unfreeze=args.unfreeze,
        epochs=args.epochs or _EPOCHS[args.unfreeze],
        batch_size=args.batch_size,
        rate=args.learning_rate or _RATES[args.unfreeze],
        encoder_rate=args.encoder_learning_rate,
        max_tokens=args.max_tokens or _MAX_TOKENS.get(task, _USUAL_MAX_TOKENS),
        accumulation=args.gradient_accumulation,
        weight_decay=args.weight_decay,
        warm_up=args.warm_up,
        dropout=args.dropout,
        clip=args.clip,
        balance=args.balance,
        seed=args.seed,
        precision=MixedPrecision(args.mixed_precision),
        evaluate_every=args.evaluate_every,
        checkpoint_every=args.checkpoint_every,
        patience=args.patience,
        use_gpu=not args.cpu,
    )


def _columns(args: argparse.Namespace) -> Columns:
    usual, numbers = Columns(), {}
    for field, given in (("word_number", args.words_column), ("tag_number", args.tags_column)):
        if given is not None and given.lstrip("-").isdecimal() and int(given):
            numbers[field] = int(given)
    return Columns(
        text=args.text_column,
        pair=args.pair_column,
        label=args.label_column,
        words=args.words_column or usual.words,
        tags=args.tags_column or usual.tags,
        question=args.question_column,
        passage=args.passage_column,
        answer=args.answer_column,
        start=args.start_column,
        **numbers,
    )


def _pooling(args: argparse.Namespace, task: HeadTask, checkpoint: Path) -> Pooling:
    if task is not HeadTask.CLASSIFY:
        if args.pooling:
            cure = "leave it out, or learn --task classify"
            raise InvalidConfig([Fault("--pooling", f"{task} pools nothing", cure)])
        return Pooling.CLS
    if args.pooling:
        return Pooling(args.pooling)
    trained = trained_pooling(checkpoint)
    return Pooling.MEAN if trained is Pooling.MEAN else Pooling.CLS


def _publish(args: argparse.Namespace) -> PublishOptions | None:
    if args.model_repository is None:
        for flag, given in (("--name", args.name), ("--min-score", args.min_score)):
            if given is not None:
                found = "says something of publishing, which is not asked for"
                raise InvalidConfig([Fault(flag, found, "add --model-repository DIR")])
        return None
    return PublishOptions(
        repository=args.model_repository,
        name=args.name or args.output.resolve().name,
        pipeline=args.pipeline,
        precision=args.precision,
        format=args.to,
        at_least=args.min_score,
    )


def _usual_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "trivet" / "features"


def _labels(text: str) -> tuple[str, ...]:
    labels = tuple(part.strip() for part in text.split(","))
    if not any(labels):
        raise argparse.ArgumentTypeError("the list is empty: give labels with commas, at least two")
    if not all(labels):
        raise argparse.ArgumentTypeError(f"{text!r}: a label is empty; remove a comma")
    for label in labels:
        if labels.count(label) > 1:
            raise argparse.ArgumentTypeError(f"the label {label!r} is there twice; name it once")
    if len(labels) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is one label: give at least two, with commas")
    return labels


def _count(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 1")


def _whole(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 0")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _positive(text: str) -> float:
    if 0 < _number(text) < math.inf:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0")


def _not_negative(text: str) -> float:
    if 0 <= _number(text) < math.inf:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number of at least 0")


def _share(text: str) -> float:
    if 0 < _number(text) < 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number between 0 and 1")


def _share_or_none(text: str) -> float:
    if 0 <= _number(text) < 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to below 1")
