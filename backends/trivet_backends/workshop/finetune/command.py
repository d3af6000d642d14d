"""`trivet finetune`: the command line."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.flags import parser as flags
from trivet_backends.workshop.finetune.options import FinetuneOptions, MixedPrecision

NAME = "finetune"
HELP = "train a head on a BERT checkpoint, and publish it as the next version"
DESCRIPTION = """\
Trains a head for text classification (one label per text, or several), regression (a number per
text), next-sentence prediction, token classification, extractive question answering or fill-mask on
a BERT checkpoint folder. The encoder is frozen, unless --unfreeze: its output is then computed
once, kept on disk (--cache, up to --cache-gb) under a digest of its content, and used by every
later run.

The output folder holds the best model as a checkpoint folder (BertFor..., model.safetensors), the
learning curve as a picture, metrics.jsonl, and what --resume needs to go on after a kill: it ends
with the very weights of a run that was not interrupted. With --model-repository the best model
is built and becomes the next version there; a running server in control mode poll picks it up.
"""
EPILOG = """\
examples:
  trivet finetune ./MiniLM --task classify --train reviews.csv --output runs/mood \\
      --model-repository models --name mood
  trivet finetune ./bert --task tag_tokens --train train.conll --validation dev.conll \\
      --output runs/names --unfreeze --gradient-accumulation 4
  trivet finetune ./bert --task answer --train questions.jsonl --output runs/qa --processes 2
  trivet finetune ./bert --task fill_mask --train texts.txt --output runs/house-style --unfreeze
  trivet finetune ... --output runs/mood --resume

files:
  classify      CSV, TSV or JSONL with text and label (and a second text: --pair-column)
  multi_label   the same with any number of labels per text: a JSON list, or with | between
  regression    the same with a number as label, which is called as its column is
  next_sentence the same with pairs; the label is true if the second text follows, else false
  tag_tokens    CoNLL (a word and its tag a line, an empty line between sentences), or JSONL with
                words and tags
  answer        CSV, TSV or JSONL with question, passage, answer and, if there is one, start (the
                answer's first character, from 0); an empty answer is none
  fill_mask     a text a line, or CSV, TSV or JSONL with text
"""

_PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "matplotlib",
    "safetensors",
    "tokenizers",
    "rich",
)
_BUILD_PACKAGES = ("onnx", "onnxruntime")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    flags.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train and publish. Raises InvalidConfig with what is wrong with options or files."""
    options = flags.options_of(args)
    _require_packages(options)
    _check_device(options)
    from trivet_backends.workshop.finetune import processes

    if args.processes > 1 and not processes.is_worker():
        processes.launch(options, args.processes)
        return 0
    from trivet_backends.workshop.finetune.display import displaying
    from trivet_backends.workshop.finetune.report import show
    from trivet_backends.workshop.finetune.run import finetune

    with displaying() as display:
        outcome = finetune(options, display)
    if outcome:
        show(outcome, options)
    return 0


def _require_packages(options: FinetuneOptions) -> None:
    """Say what to install where an extra is missing."""
    needed = (*_PACKAGES, *(_BUILD_PACKAGES if options.publish else ()))
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        cure = "pip install 'trivet[server,workshop,finetune]'"
        found = f"{', '.join(missing)} not installed"
        raise InvalidConfig([Fault("trivet finetune", found, cure)])


def _check_device(options: FinetuneOptions) -> None:
    import torch

    has_gpu = options.loop.use_gpu and torch.cuda.is_available()
    if options.loop.precision is MixedPrecision.FP16 and not has_gpu:
        cure = "use --mixed-precision bf16, or no"
        raise InvalidConfig([Fault("--mixed-precision fp16", "needs a GPU", cure)])
