"""`trivet tune`: the command line."""

from __future__ import annotations

import argparse
import math
from importlib.util import find_spec
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.tune.options import LoadOptions, TuneOptions
from trivet_backends.workshop.tune.space import MAX_BATCH_TOKENS, MAX_PADDING_PERCENT

NAME = "tune"
HELP = "find the settings that suit this machine, and write them into config.pbtxt"
DESCRIPTION = """\
Finds how many instances of how many threads, what max_batch_tokens, max_padding_percent and engine
(where a version holds both model.onnx and model.xml) answer most texts per second under a bound of
p99, or soonest at a given rate. Every candidate is served by a `trivet serve` of its own, on a
private copy of the repository, and loaded as `trivet bench` does: all once, then the better ones
again and again in turn, the config as it stands always among them.

The winner's settings are written into config.pbtxt: these fields alone, comments and all else stay.
Beside it lie tune.json and tune.md with all that was measured. The config stays as it is if nothing
is better by more than 3 %. If it was edited by hand since a build, or since the last tune, the
result goes into config.pbtxt.tuned instead, unless --force. A later build keeps a tuned config.
"""
EPILOG = """\
examples:
  trivet tune minilm --model-repository models --p99-ms 50
  trivet tune embed --model-repository models --rate 200 --p99-ms 20 --texts texts.txt
  trivet tune minilm --model-repository models --concurrency 16 --dry-run

exit status: 0 written, or found and not to be written; 1 nothing meets the bound; 2 refused.
"""

_PACKAGES = ("grpc", "rich")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("model", metavar="MODEL", help="a model, or a pipeline that runs it")
    parser.add_argument("--model-repository", metavar="DIR", type=Path, required=True)
    parser.add_argument(
        "--ask",
        metavar="PIPELINE",
        help="the pipeline that is asked (default: the first that runs the model, else the model)",
    )
    parser.add_argument(
        "--p99-ms",
        metavar="MS",
        type=_positive,
        help="bound of the slowest hundredth (default: none)",
    )
    parser.add_argument("--dry-run", action="store_true", help="measure, and write nothing")
    parser.add_argument(
        "--force", action="store_true", help="write into a config.pbtxt that was edited by hand"
    )
    _add_load(parser.add_argument_group("load"))
    _add_space(parser.add_argument_group("what is tried"))


def _add_load(group: argparse._ArgumentGroup) -> None:
    usual = LoadOptions()
    pace = group.add_mutually_exclusive_group()
    pace.add_argument("--rate", metavar="R", type=_positive, help="requests per second, Poisson")
    pace.add_argument(
        "--concurrency",
        metavar="N",
        type=_whole,
        default=usual.concurrency,
        help="callers, who ask again when answered (default: %(default)s)",
    )
    source = group.add_mutually_exclusive_group()
    source.add_argument("--texts", metavar="FILE", type=Path, help="one text per line")
    source.add_argument(
        "--lengths",
        metavar="SPEC",
        default=usual.lengths,
        help="tokens per text, as in trivet bench: lognormal:MEDIAN:P95, uniform:LOW:HIGH or "
        "fixed:N (default: %(default)s)",
    )
    group.add_argument(
        "--duration",
        metavar="S",
        type=_positive,
        default=usual.duration_s,
        help="seconds a run counts (default: %(default)s)",
    )
    group.add_argument(
        "--warmup",
        metavar="S",
        type=_positive,
        default=usual.warmup_s,
        help="seconds before that (default: %(default)s)",
    )
    group.add_argument("--seed", metavar="N", type=_whole, default=1, help="(default: 1)")


def _add_space(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--engine", choices=("onnxruntime", "openvino"), help="(default: all whose files are there)"
    )
    group.add_argument(
        "--instances",
        metavar="N,N",
        type=_list,
        default=(),
        help="(default: every even division of the cores, and what follows the load)",
    )
    for flag, values in (
        ("--max-batch-tokens", MAX_BATCH_TOKENS),
        ("--max-padding-percent", MAX_PADDING_PERCENT),
    ):
        told = ",".join(map(str, values))
        group.add_argument(
            flag, metavar="N,N", type=_list, default=values, help=f"(default: {told})"
        )


def run(args: argparse.Namespace) -> int:
    """Search, show, write; 1 if nothing meets the bound."""
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        cure = "pip install 'trivet[server,workshop]'"
        raise InvalidConfig([Fault("trivet tune", f"{', '.join(missing)} not installed", cure)])
    from trivet_backends.workshop.progress import announcing
    from trivet_backends.workshop.tune.evidence import aligned, cells
    from trivet_backends.workshop.tune.tune import tune

    with announcing() as announce:
        outcome = tune(_options(args), announce)
    print(aligned(cells(outcome.evidence)))
    print(outcome.note)
    return 0 if outcome.evidence.winner else 1


def _options(args: argparse.Namespace) -> TuneOptions:
    return TuneOptions(
        model=args.model,
        repository=args.model_repository,
        asked=args.ask,
        p99_ms=args.p99_ms,
        load=LoadOptions(
            rate=args.rate,
            concurrency=args.concurrency,
            texts=args.texts,
            lengths=args.lengths,
            warmup_s=args.warmup,
            duration_s=args.duration,
            seed=args.seed,
        ),
        engine=args.engine,
        instances=args.instances,
        max_batch_tokens=args.max_batch_tokens,
        max_padding_percent=args.max_padding_percent,
        dry_run=args.dry_run,
        force=args.force,
    )


def _whole(text: str) -> int:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 1")


def _list(text: str) -> tuple[int, ...]:
    found = tuple(_whole(part) for part in text.split(","))
    if len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text!r} names a number twice")
    return found


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if math.isfinite(value) and value > 0:
        return value
    raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0")
