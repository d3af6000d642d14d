"""`trivet export`: its flags, and the table at its end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.hub import checkpoint_folder, name_on_hub
from trivet_backends.workshop.options import BuildOptions, Pooling, Task
from trivet_backends.workshop.progress import announcing

if TYPE_CHECKING:
    from trivet_backends.workshop.export.export import Outcome

NAME = "export"
HELP = "write a BERT checkpoint in the formats of other frameworks"
DESCRIPTION = """\
Writes a checkpoint as PyTorch, TorchScript, torch.export, ONNX, OpenVINO, TensorFlow SavedModel,
TFLite, JAX, CoreML or safetensors, each for any batch and length and with the same inputs and
outputs, from one plain BERT per framework.

Every format is loaded back by a process that did not write it and compared with plain numpy on
batches of several sizes and lengths, with padding; all must agree to 1e-4. CoreML runs on Apple's
systems alone: its structure is checked, and the table says so. Beside each model lie the files of
its tokenizer and export.json, which names inputs and outputs. A format that fails is not written,
the others are; the exit status is 0 if all were.
"""
EPILOG = (
    """\
examples:
  trivet export ./all-MiniLM-L6-v2 --to torchscript,saved_model --output exported
  trivet export ./bert-base-uncased --to all --output exported
  trivet export google-bert/bert-base-uncased@main --to onnx --output exported
  trivet export ./minilm --to torchscript --output exported --model-repository models

formats, each in a folder of its name:
"""
    + "\n".join(f"  {format_:<12} {WAYS[format_].about}" for format_ in sorted(ExportFormat))
    + "\n"
)

_TITLES = ("FORMAT", "MB", "MAX DIFF", "CHECKED", "SECONDS", "")
_NUMBERS = ("MB", "MAX DIFF", "SECONDS")
_PACKAGES = ("onnx", "onnxruntime", "rich", "safetensors", "tokenizers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="folder with config.json, model.safetensors (or shards and their index) and "
        "tokenizer.json; or OWNER/NAME[@REVISION] on the Hub (extra hub)",
    )
    parser.add_argument(
        "--to",
        metavar="FORMATS",
        type=_formats,
        required=True,
        help="formats with commas, or all: " + ", ".join(sorted(ExportFormat)),
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="where each format gets a folder of its name; made if it is not there",
    )
    _add_head_arguments(parser)
    parser.add_argument(
        "--model-repository",
        metavar="DIR",
        type=Path,
        help="also publish what trivet's own backends serve as models of this repository",
    )
    parser.add_argument(
        "--name",
        help="with --model-repository: models are NAME_FORMAT (default: the checkpoint's name)",
    )


def _add_head_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        choices=[task.value for task in Task],
        help="which head (default: the one that the checkpoint has, else embed)",
    )
    parser.add_argument(
        "--pooling",
        choices=[pooling.value for pooling in Pooling],
        help="embed: how token vectors become one (default: as the checkpoint says, else mean)",
    )
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="embed: give vectors of length one (default: yes)",
    )
    parser.add_argument(
        "--hidden-state",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="embed: also give out last_hidden_state (default: no)",
    )
    parser.add_argument(
        "--candidates",
        metavar="K",
        type=_count,
        default=100,
        help="fill_mask: candidates per mask (default: 100)",
    )


def run(args: argparse.Namespace) -> int:
    """Export, and show what became of it. Returns 1 if a format was not written."""
    _require_packages()
    from trivet_backends.workshop.export.entries import model_name, publish_served
    from trivet_backends.workshop.export.export import export

    options = BuildOptions(
        name=args.name,
        task=args.task and Task(args.task),
        pooling=args.pooling and Pooling(args.pooling),
        normalize=args.normalize,
        hidden_state=args.hidden_state,
        candidates=args.candidates,
    )
    served = []
    folder = checkpoint_folder(args.checkpoint)
    with announcing() as announce:
        exported = export(folder, args.output, args.to, options, announce)
        if args.model_repository:
            name = args.name or name_on_hub(args.checkpoint) or model_name(folder)
            served = publish_served(exported, args.output, args.model_repository, name, announce)
    show(exported.outcomes)
    for model in served:
        state = "; ".join(filter(None, ["published" if model.is_new else "up to date", model.note]))
        print(f"{args.model_repository / model.model}: version {model.version} {state}")
    return int(any(outcome.fault for outcome in exported.outcomes))


def _formats(text: str) -> tuple[ExportFormat, ...]:
    if text == "all":
        return tuple(ExportFormat)
    try:
        formats = tuple(ExportFormat(word.strip()) for word in text.split(","))
    except ValueError:
        known = ", ".join(sorted(ExportFormat))
        raise argparse.ArgumentTypeError(f"{text!r}: give all, or some of {known}") from None
    if len(set(formats)) < len(formats):
        raise argparse.ArgumentTypeError(f"{text!r} names a format twice")
    return formats


def _count(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 1")


def _require_packages() -> None:
    """What the comparison itself needs; each format names its own."""
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        found, cure = f"{', '.join(missing)} not installed", "pip install 'trivet[server,workshop]'"
        raise InvalidConfig([Fault("trivet export", found, cure)])


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table, in the order of the formats' names; faults follow it in full."""
    rows = [_TITLES, *map(_cells, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        aligned = (
            cell.rjust(width) if title in _NUMBERS else cell.ljust(width)
            for title, cell, width in zip(_TITLES, row, widths, strict=True)
        )
        print("  ".join(aligned).rstrip())
    for outcome in outcomes:
        if outcome.fault:
            print(f"\n{outcome.fault}")


def _cells(outcome: Outcome) -> tuple[str, ...]:
    if outcome.fault:
        return (outcome.format, "", "", "", f"{outcome.seconds:.1f}", "not written")
    difference = outcome.max_difference
    return (
        outcome.format,
        f"{outcome.size_bytes / 1e6:.1f}",
        "-" if difference is None else f"{difference:.1e}",
        WAYS[outcome.format].checked,
        f"{outcome.seconds:.1f}",
        "written, with tokenizer",
    )
