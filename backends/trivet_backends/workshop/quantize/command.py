"""`trivet quantize`: the command line."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.flags import columns
from trivet_backends.workshop.hub import checkpoint_folder
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize.options import Publish, QuantizeOptions, Weights
from trivet_backends.workshop.quantize.variants import VARIANTS

NAME = "quantize"
HELP = "make smaller and faster variants of a model, compare them with it, publish the best"
DESCRIPTION = """\
Makes 8-bit and 16-bit variants of an FP32 model for ONNX Runtime, OpenVINO and torch, runs each on
your texts or your labelled rows, and compares accuracy, size and latency with the source in one
table. A variant that keeps less than --min-accuracy of the source's accuracy is not published. The
best of the others, or all, become models of the repository with pipelines of their own, whole or
not at all, with the report beside each (quantize.json).

What counts as accuracy: with --labelled the task's metric (classify and next_sentence: accuracy, of
several labels per text micro F1; tag_tokens: F1 of entities; answer: F1 of words; fill_mask: how
often the word is the likeliest; embed: how pairs rank by cosine and by label); else agreement with
the source's answers on --texts (fill_mask: the likeliest word for a hidden one; embed: the lower of
mean cosine and of texts whose nearest neighbour is the same). Texts that calibrate a variant are
not among those it is judged by, unless there are fewer than 32.
"""
EPILOG = (
    """\
examples:
  trivet quantize minilm --model-repository models --texts texts.txt
  trivet quantize models/mood --labelled held_out.csv --min-accuracy 0.98
  trivet quantize ./all-MiniLM-L6-v2 --model-repository models --texts texts.txt
  trivet quantize minilm --model-repository models --texts texts.txt --next-version \\
      --variants openvino-int8-weights,onnx-int8-dynamic

variants:
"""
    + "\n".join(f"  {variant.name:<22} {variant.about}" for variant in VARIANTS.values())
    + """

models made of the model M and its pipeline P: M_VARIANT and P_VARIANT; with --next-version the next
versions of M, which P runs from then on. torch-int8 is made of a checkpoint folder only.
"""
)

_PACKAGES = ("onnx", "onnxruntime", "rich", "safetensors", "tokenizers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "model",
        metavar="MODEL_OR_CHECKPOINT",
        help="a model's name in the repository, a model's folder, a checkpoint folder, or "
        "OWNER/NAME[@REVISION] of one on the Hub",
    )
    parser.add_argument(
        "--model-repository",
        metavar="DIR",
        type=Path,
        help="repository to publish into (default: the one the model's folder lies in)",
    )
    _add_variants(parser.add_argument_group("what is made"))
    _add_comparison(parser.add_argument_group("what it is compared on"))
    publishing = parser.add_argument_group("what is published")
    publishing.add_argument(
        "--publish",
        choices=[choice.value for choice in Publish],
        default=Publish.BEST.value,
        help="of the variants that keep the accuracy: the fastest, all or none (default: best)",
    )
    publishing.add_argument(
        "--next-version",
        action="store_true",
        help="publish the best as the next version of the model itself",
    )
    publishing.add_argument("--name", help="of a checkpoint's model (default: the folder's name)")
    publishing.add_argument(
        "--pipeline", help="of a checkpoint's pipeline (default: the task's name)"
    )
    publishing.add_argument(
        "--task", choices=[task.value for task in Task], help="of a checkpoint, as in trivet build"
    )
    publishing.add_argument("--json", metavar="FILE", type=Path, help="write all numbers")


def _add_variants(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--variants", metavar="LIST", help="with commas (default: all that can be made here)"
    )
    group.add_argument(
        "--symmetric",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="8-bit weights around zero, or from the lowest to the highest (default: symmetric for "
        "ONNX and torch, not for OpenVINO)",
    )
    scales = group.add_mutually_exclusive_group()
    scales.add_argument(
        "--per-channel",
        dest="per_channel",
        action="store_true",
        default=True,
        help="a scale for each output channel, or row of a table (default)",
    )
    scales.add_argument(
        "--per-tensor",
        dest="per_channel",
        action="store_false",
        help="one scale for a whole matrix: a little smaller, much less exact",
    )


def _add_comparison(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--texts",
        metavar="FILE",
        type=Path,
        help="one text per line: to calibrate and to compare",
    )
    group.add_argument(
        "--labelled",
        metavar="FILE",
        type=Path,
        help="labelled rows, as trivet finetune reads them; fill_mask: texts with [MASK], the word "
        "as label; next_sentence: pairs, labelled true or false; embed: pairs, labelled with a "
        "number that says how alike they are",
    )
    columns.declare(group)
    group.add_argument(
        "--format",
        choices=("csv", "tsv", "jsonl", "conll"),
        help="of the labelled file (default: by its ending)",
    )
    group.add_argument(
        "--min-accuracy",
        metavar="SHARE",
        type=float,
        default=0.95,
        help="of the source's accuracy, 0 to 1; below it nothing is published (default: 0.95)",
    )
    group.add_argument(
        "--calibration",
        metavar="N",
        type=_whole,
        default=128,
        help="texts that give the static variants their ranges (default: 128)",
    )
    group.add_argument(
        "--evaluation",
        metavar="N",
        type=_whole,
        default=1000,
        help="texts or rows, at most, that variants are judged by (default: 1000)",
    )
    group.add_argument(
        "--lengths",
        metavar="N,N",
        type=_lengths,
        default=(16, 32, 128),
        help="tokens of the rows that are timed (default: 16,32,128)",
    )
    group.add_argument(
        "--rounds", metavar="N", type=_whole, default=15, help="of timing (default: 15)"
    )


def run(args: argparse.Namespace) -> int:
    """Make, compare, publish; 1 if variants were made and none kept the accuracy."""
    _require_packages()
    from trivet_backends.workshop.progress import announcing
    from trivet_backends.workshop.quantize import report
    from trivet_backends.workshop.quantize.quantize import quantize

    options = _options(args)
    with announcing() as announce:
        outcome = quantize(options, announce)
    print(report.table(outcome.rows, outcome.metric))
    if options.json:
        _write(options.json, json.dumps(outcome.document, indent=2) + "\n")
    for model in outcome.published:
        state = "published" if model.is_new else "up to date"
        print("; ".join(filter(None, [f"{model.model} {model.version}: {state}", model.note])))
    if report.best(outcome.rows) is None:
        print(f"no variant keeps {options.min_accuracy:g} of the accuracy: nothing is published")
        return 1
    return 0


def _options(args: argparse.Namespace) -> QuantizeOptions:
    # A name without an owner is the repository's to know, not the Hub's.
    model = str(checkpoint_folder(args.model)) if "/" in args.model else args.model
    return QuantizeOptions(
        model=model,
        repository=args.model_repository,
        variants=args.variants,
        texts=args.texts,
        labelled=args.labelled,
        labelled_format=args.format,
        columns=columns.columns_of(args),
        weights=Weights(symmetric=args.symmetric, per_channel=args.per_channel),
        min_accuracy=args.min_accuracy,
        calibration=args.calibration,
        evaluation=args.evaluation,
        lengths=args.lengths,
        rounds=args.rounds,
        publish=Publish(args.publish),
        next_version=args.next_version,
        name=args.name,
        pipeline=args.pipeline,
        task=args.task and Task(args.task),
        json=args.json,
    )


def _whole(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 1")


def _lengths(text: str) -> tuple[int, ...]:
    found = tuple(_whole(part) for part in text.split(","))
    if min(found) < 4:
        raise argparse.ArgumentTypeError(f"{text!r}: a row has at least 4 tokens")
    return found


def _require_packages() -> None:
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        found = f"{', '.join(missing)} not installed"
        cure = "pip install 'trivet[server,workshop]'"
        raise InvalidConfig([Fault("trivet quantize", found, cure)])


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidConfig(
            [
                Fault(
                    f"--json {file}",
                    f"cannot be written ({error.strerror})",
                    "check its permissions and its disk",
                )
            ]
        ) from error
