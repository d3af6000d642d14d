"""Where the best model goes."""

from __future__ import annotations

import argparse
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.options import PublishOptions
from trivet_backends.workshop.options import Format, Precision


def declare(group: argparse._ArgumentGroup) -> None:
    """Add the flags to their group."""
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
        help="publish only what reaches it: accuracy of classify and next_sentence, "
        "micro_f1 of multi_label, spearman of regression, f1 of tag_tokens and answer; of "
        "fill_mask the loss, at most",
    )


def publish_of(args: argparse.Namespace) -> PublishOptions | None:
    """What they say; None: nothing is published. Raises InvalidConfig if they do not agree."""
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
