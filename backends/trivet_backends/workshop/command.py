"""`trivet build`: the workshop's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.entry import Published
from trivet_backends.workshop.hub import checkpoint_folder, name_on_hub
from trivet_backends.workshop.options import Beside, BuildOptions, Format, Pooling, Precision, Task

NAME = "build"
HELP = "make a repository entry from a BERT checkpoint folder"
DESCRIPTION = """\
Reads config.json, model.safetensors and tokenizer.json of a BERT checkpoint and makes models of
them that `trivet serve` runs: an ONNX graph written directly from the weights, or an OpenVINO model
made of that, its tokenizer, for fill-mask the step from token ids to words, and a pipeline from
text to answer.

Every graph is run and compared with a plain numpy BERT before it is published: fp32 must agree to
1e-4, fp16 and int8 in direction. A version appears whole or not at all; what is up to date is left
alone; a changed checkpoint or option publishes the next version; an edited config.pbtxt is kept.
"""
EPILOG = """\
examples:
  trivet build ./all-MiniLM-L6-v2 --model-repository models
  trivet build ./bert-base-uncased --model-repository models --name bert --precision int8,fp32
  trivet build ./all-MiniLM-L6-v2 --model-repository models --to openvino --precision int8
  trivet build ./bge-small --model-repository models --pooling cls --pipeline embed_bge
  trivet build ./bert-ner --model-repository models --task tag_tokens
  trivet build ./bert-sentiment --model-repository models --labels labels.txt

models made for NAME: NAME, NAME_tokenizer, NAME_PRECISION for each further precision,
NAME_candidates for fill_mask, NAME_labels for classify, tag_tokens and answer, and the pipeline.

precisions:
  fp32  as trained
  fp16  half the size; on a CPU no faster, it computes in fp32
  int8  a quarter of the size, about twice as fast; answers shift a little (cosine 0.99), and with
        the neighbours in a batch. With --to openvino: 8-bit weights, more than twice as fast,
        answers shift less (cosine 0.999) and not with the neighbours
"""

_ALSO = frozenset({"few_shot", "similarity", "tokenize", "zero_shot"})
_TITLES = ("MODEL", "VERSION", "PRECISION", "MB", "MAX DIFF", "COSINE", "SECONDS", "")
_NUMBERS = ("MB", "MAX DIFF", "COSINE", "SECONDS")
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
        "--model-repository",
        metavar="DIR",
        type=Path,
        required=True,
        help="model repository to publish into; made if it is not there",
    )
    parser.add_argument("--name", help="name of the model (default: the folder's name, made safe)")
    parser.add_argument(
        "--pipeline", help="name of the pipeline from text to answer (default: the task's name)"
    )
    parser.add_argument(
        "--task",
        choices=[task.value for task in Task],
        help="what the model answers (default: what the checkpoint's head was trained for, as "
        "config.json's architectures tell; fill_mask if it has that head; else embed)",
    )
    parser.add_argument(
        "--precision",
        metavar="LIST",
        type=_precisions,
        default=(Precision.FP32,),
        help="fp32, fp16, int8 or several with commas; the pipeline runs the first (default: fp32)",
    )
    parser.add_argument(
        "--to",
        choices=[format_.value for format_ in Format],
        default=Format.ONNX.value,
        help="format of the graphs: onnx runs on ONNX Runtime; openvino on OpenVINO, the faster "
        "engine on x86, from model.xml and model.bin; needs the extra openvino; tensorrt on "
        "this machine's NVIDIA GPU, as model.plan in fp32 or fp16; needs the extra tensorrt "
        "(default: onnx)",
    )
    parser.add_argument(
        "--also",
        metavar="LIST",
        type=_also,
        default=frozenset(),
        help="further models, with commas: tokenize (and detokenize); for embed only similarity, "
        "zero_shot and few_shot (labels, or examples, given with each request)",
    )
    _add_embed_arguments(parser)
    parser.add_argument(
        "--candidates",
        metavar="K",
        type=_count,
        default=100,
        help="fill_mask: candidates per mask, the most that top_k may ask for (default: 100)",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        type=Path,
        help="classify, tag_tokens: a file with one label per line, in the order of the head's "
        "outputs (default: id2label of the checkpoint's config.json)",
    )


def _add_embed_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pooling",
        choices=[pooling.value for pooling in Pooling],
        help="embed: how token vectors become one (default: what 1_Pooling/config.json of the "
        "checkpoint says, else mean)",
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
        help="embed: the model also gives out last_hidden_state (default: no)",
    )
    parser.add_argument(
        "--hidden-states",
        action="store_true",
        help="embed: also make NAME_inspect, which gives out every layer, and PIPELINE_inspect, "
        "whose requests choose layer, pooling and normalization",
    )
    parser.add_argument(
        "--attentions",
        action="store_true",
        help="embed: as --hidden-states, and attention maps, too",
    )


def run(args: argparse.Namespace) -> int:
    """Build, and show what became of it. Raises InvalidConfig with everything that is wrong."""
    _require_packages(Format(args.to))
    from trivet_backends.workshop.build import build
    from trivet_backends.workshop.progress import announcing

    options = BuildOptions(
        name=name_on_hub(args.checkpoint) if args.name is None else args.name,
        pipeline=args.pipeline,
        task=args.task and Task(args.task),
        precisions=args.precision,
        format=Format(args.to),
        pooling=args.pooling and Pooling(args.pooling),
        normalize=args.normalize,
        hidden_state=args.hidden_state,
        candidates=args.candidates,
        labels=args.labels,
        beside=Beside(
            similarity="similarity" in args.also,
            zero_shot="zero_shot" in args.also,
            few_shot="few_shot" in args.also,
            tokenize="tokenize" in args.also,
            hidden_states=args.hidden_states,
            attentions=args.attentions,
        ),
    )
    folder = checkpoint_folder(args.checkpoint)
    with announcing() as announce:
        published = build(folder, args.model_repository, options, announce)
    _show(published)
    return 0


def _precisions(text: str) -> tuple[Precision, ...]:
    known = ", ".join(Precision)
    try:
        precisions = tuple(Precision(word.strip()) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give {known}, or several with commas"
        ) from None
    if len(set(precisions)) < len(precisions):
        raise argparse.ArgumentTypeError(f"{text!r} names a precision twice")
    return precisions


def _also(text: str) -> frozenset[str]:
    asked = frozenset(word.strip() for word in text.split(","))
    if asked <= _ALSO:
        return asked
    known = ", ".join(sorted(_ALSO))
    raise argparse.ArgumentTypeError(f"{text!r}: give {known}, or several with commas")


def _count(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 1")


def _require_packages(format_: Format) -> None:
    """Say what to install where an extra is missing."""
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    extras = "server,workshop" if missing else "server"
    if format_ is Format.OPENVINO and find_spec("openvino") is None:
        missing, extras = [*missing, "openvino"], f"{extras},openvino"
    if format_ is Format.TENSORRT and not missing:
        from trivet_backends.workshop.tensorrt import require

        require()
    if missing:
        found, cure = f"{', '.join(missing)} not installed", f"pip install 'trivet[{extras}]'"
        raise InvalidConfig([Fault("trivet build", found, cure)])


def _show(published: Sequence[Published]) -> None:
    rows = [_TITLES, *map(_cells, published)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        aligned = (
            cell.rjust(width) if title in _NUMBERS else cell.ljust(width)
            for title, cell, width in zip(_TITLES, row, widths, strict=True)
        )
        print("  ".join(aligned).rstrip())


def _cells(model: Published) -> tuple[str, ...]:
    measured = model.build.measured
    return (
        model.model,
        str(model.version),
        str(model.build.recipe.get("precision", "")),
        f"{model.build.size_bytes / 1e6:.1f}" if model.build.files else "",
        f"{measured['max_difference']:.1e}" if "max_difference" in measured else "",
        f"{measured['mean_cosine']:.5f}" if "mean_cosine" in measured else "",
        str(measured.get("seconds", "")) if model.is_new else "",
        "; ".join(filter(None, ["published" if model.is_new else "up to date", model.note])),
    )
