"""All flags, and the options they make."""

from __future__ import annotations

import argparse
from pathlib import Path

from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.finetune.flags import learning, machine, publishing, rows
from trivet_backends.workshop.finetune.options import FinetuneOptions
from trivet_backends.workshop.hub import checkpoint_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare all flags."""
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
    rows.declare(parser.add_argument_group("rows"))
    learning.declare(parser.add_argument_group("learning"))
    machine.declare(parser.add_argument_group("machine"))
    publishing.declare(parser.add_argument_group("publishing"))


def options_of(args: argparse.Namespace) -> FinetuneOptions:
    """The options of a parsed command line. Raises InvalidConfig for flags that do not agree."""
    task = HeadTask(args.task)
    data, publish = rows.data_of(args, task), publishing.publish_of(args)
    checkpoint = checkpoint_folder(args.checkpoint)  # after what costs no download
    return FinetuneOptions(
        checkpoint=checkpoint,
        task=task,
        pooling=learning.pooling_of(args, task, checkpoint),
        layers=args.layers,
        data=data,
        loop=learning.loop_of(args),
        output=args.output,
        cache=machine.cache_of(args),
        resume=args.resume,
        publish=publish,
    )
