"""Which rows are learned from and judged by."""

from __future__ import annotations

import argparse
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.data import FileFormat
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.finetune.flags import columns, values
from trivet_backends.workshop.finetune.options import DataOptions


def declare(group: argparse._ArgumentGroup) -> None:
    """Add the flags to their group."""
    add = group.add_argument
    add(
        "--validation",
        metavar="FILE",
        type=Path,
        help="rows to judge by (default: a share of the rows to learn from)",
    )
    add(
        "--validation-share",
        metavar="SHARE",
        type=values.share,
        default=0.1,
        help="without --validation: the share of rows held back, by chance and --seed "
        "(default: 0.1)",
    )
    formats = [format_.value for format_ in FileFormat]
    add("--format", choices=formats, help="how files hold rows (default: by their ending)")
    columns.declare(group)
    add(
        "--labels",
        metavar="LIST",
        type=values.labels,
        default=(),
        help="all labels, with commas, in the order of the head's outputs (default: those of the "
        "rows to learn from, sorted)",
    )
    add(
        "--max-tokens",
        metavar="N",
        type=values.count,
        help="of a row; what is longer is cut, or for answer read in windows (default: 128, for "
        "answer 384; all that the model takes, if that is less)",
    )


def data_of(args: argparse.Namespace, task: HeadTask) -> DataOptions:
    """What they say. Raises InvalidConfig for a task of pairs without a second text."""
    if task is HeadTask.NEXT_SENTENCE and not args.pair_column:
        cure = "name the column of the second text"
        raise InvalidConfig([Fault("--pair-column", f"{task} is learned from pairs", cure)])
    return DataOptions(
        training=args.train,
        validation=args.validation,
        validation_share=args.validation_share,
        format=args.format and FileFormat(args.format),
        columns=columns.columns_of(args),
        labels=args.labels,
    )
