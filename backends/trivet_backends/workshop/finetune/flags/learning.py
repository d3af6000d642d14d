"""How it is learned."""

from __future__ import annotations

import argparse
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.finetune.flags import values
from trivet_backends.workshop.finetune.options import LoopOptions, MixedPrecision
from trivet_backends.workshop.options import Pooling
from trivet_backends.workshop.tokenizer_file import trained_pooling

# A frozen encoder's head is small and learns fast; a whole encoder forgets if it is hurried.
_EPOCHS = {False: 20, True: 3}
_RATES = {False: 1e-3, True: 5e-4}
_ENCODER_RATE = 5e-5


def declare(group: argparse._ArgumentGroup) -> None:
    """Add the flags to their group."""
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
        help="classify, multi_label: what the head sees, the first token or the mean of all, which "
        "is made by one more layer (default: what 1_Pooling/config.json of the checkpoint says, "
        "else cls)",
    )
    add(
        "--layers",
        metavar="N",
        type=values.count,
        help="keep the encoder's first N alone: the last of a sentence encoder may know less of "
        "what you ask than those before it (default: all)",
    )
    add(
        "--epochs",
        metavar="N",
        type=values.count,
        help="most rounds through the rows (default: 20; unfrozen 3)",
    )
    add(
        "--batch-size",
        metavar="ROWS",
        type=values.count,
        default=32,
        help="over all processes (default: 32)",
    )
    add(
        "--gradient-accumulation",
        metavar="N",
        type=values.count,
        default=1,
        help="batches per step (default: 1)",
    )
    add(
        "--learning-rate",
        metavar="RATE",
        type=values.positive,
        help="of the head (default: 1e-3; unfrozen 5e-4)",
    )
    add(
        "--encoder-learning-rate",
        metavar="RATE",
        type=values.positive,
        default=_ENCODER_RATE,
        help="with --unfreeze (default: 5e-5)",
    )
    add(
        "--weight-decay",
        metavar="W",
        type=values.not_negative,
        default=0.01,
        help="(default: 0.01)",
    )
    add(
        "--warm-up",
        metavar="SHARE",
        type=values.share_or_none,
        default=0.1,
        help="of all steps (default: 0.1)",
    )
    add(
        "--dropout",
        metavar="SHARE",
        type=values.share_or_none,
        help="before the head of texts and tags (default: as config.json says)",
    )
    add(
        "--clip",
        metavar="NORM",
        type=values.not_negative,
        default=1.0,
        help="longest gradient; 0: any (default: 1)",
    )
    add("--balance", action="store_true", help="weigh rare labels up")
    add(
        "--seed",
        metavar="N",
        type=values.whole,
        default=0,
        help="of order, split, new heads, dropout and masks (default: 0)",
    )
    add(
        "--evaluate-every",
        metavar="STEPS",
        type=values.whole,
        default=0,
        help="(default: 0, after each epoch)",
    )
    add(
        "--checkpoint-every",
        metavar="STEPS",
        type=values.whole,
        default=0,
        help="beside those at each evaluation (default: 0, none)",
    )
    add(
        "--patience",
        metavar="N",
        type=values.whole,
        default=3,
        help="end after so many evaluations without a better one; 0: never (default: 3)",
    )


def loop_of(args: argparse.Namespace) -> LoopOptions:
    """What they and those of the machine say."""
    return LoopOptions(
        unfreeze=args.unfreeze,
        epochs=args.epochs or _EPOCHS[args.unfreeze],
        batch_size=args.batch_size,
        rate=args.learning_rate or _RATES[args.unfreeze],
        encoder_rate=args.encoder_learning_rate,
        max_tokens=args.max_tokens,
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


def pooling_of(args: argparse.Namespace, task: HeadTask, checkpoint: Path) -> Pooling:
    """What the head sees. Raises InvalidConfig for one that sees no whole text."""
    if not task.is_of_texts:
        if args.pooling:
            cure = "leave it out, or learn --task classify"
            raise InvalidConfig([Fault("--pooling", f"{task} pools nothing", cure)])
        return Pooling.CLS
    if args.pooling:
        return Pooling(args.pooling)
    trained = trained_pooling(checkpoint)
    return Pooling.MEAN if trained is Pooling.MEAN else Pooling.CLS
