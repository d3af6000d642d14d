"""The flags of `trivet bench`, and which of them do not go together."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from trivet_client.connection import ADDRESS
from trivet_client.errors import invalid
from trivet_client.security import add_login_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--task", choices=("embed", "fill_mask", "infer"), default="embed", help="(default: embed)"
    )
    asked.add_argument("--model", metavar="NAME", help="model to ask (default: the task's name)")
    asked.add_argument("--version", metavar="N", type=int, help="its version (default: the latest)")
    asked.add_argument(
        "--lengths",
        metavar="SPEC",
        help="tokens per text: lognormal:MEDIAN:P95, uniform:LOW:HIGH or fixed:N "
        "(default: lognormal:24:110)",
    )
    asked.add_argument("--texts", metavar="FILE", type=Path, help="one text per line, instead")
    asked.add_argument(
        "--batch", metavar="N", type=_whole, default=1, help="texts per unary request (default: 1)"
    )
    asked.add_argument(
        "--input", metavar="NAME=JSON", action="append", default=[], help="infer: a tensor"
    )
    asked.add_argument(
        "--shape", metavar="NAME:1,16", action="append", default=[], help="infer: random values"
    )
    asked.add_argument("--stream", action="store_true", help="on one stream per client process")
    _add_load(parser.add_argument_group("how much, and for how long"))
    _add_report(parser.add_argument_group("server and report"))
    add_login_arguments(parser.add_argument_group("TLS and token"))


def check(args: argparse.Namespace) -> None:
    """Raises InvalidArgument for flags that do not go together."""
    if args.task != "infer" and (args.input or args.shape):
        raise invalid(f"--input and --shape are tensors, but --task {args.task} takes text")
    if args.task == "infer" and not args.model:
        raise invalid("--task infer needs --model NAME")
    if args.lengths and args.texts:
        raise invalid("--lengths makes texts and --texts reads them; give one of the two")
    if args.stream and args.batch > 1:
        raise invalid("on a stream each text is a request of its own; leave out --batch")
    if args.against_engine and args.task != "embed":
        raise invalid("--against-engine compares embeddings; give --task embed")
    for flag, file in (("--json", args.json), ("--picture", args.picture)):
        if file and not file.absolute().parent.is_dir():
            raise invalid(f"{flag} {file}: there is no folder {file.absolute().parent}")


def _add_load(load: argparse._ArgumentGroup) -> None:
    pace = load.add_mutually_exclusive_group()
    pace.add_argument(
        "--concurrency",
        metavar="N,N",
        type=_list(_whole),
        default=[1, 4, 16, 64],
        help="requests in flight, one run each (default: 1,4,16,64)",
    )
    pace.add_argument(
        "--rate", metavar="R,R", type=_list(_positive), help="requests per second, Poisson"
    )
    load.add_argument(
        "--warmup", metavar="S", type=_seconds, default=2.0, help="seconds (default: 2)"
    )
    extent = load.add_mutually_exclusive_group()
    extent.add_argument(
        "--duration", metavar="S", type=_positive, default=10.0, help="seconds (default: 10)"
    )
    extent.add_argument("--requests", metavar="N", type=_whole, help="so many instead, per run")
    load.add_argument("--seed", metavar="N", type=int, default=0, help="of texts and arrivals")
    load.add_argument(
        "--processes", metavar="N", type=_whole, default=1, help="client processes (default: 1)"
    )
    load.add_argument(
        "--timeout", metavar="S", type=_positive, default=60.0, help="of a unary call (default: 60)"
    )


def _add_report(report: argparse._ArgumentGroup) -> None:
    report.add_argument(
        "--url", metavar="HOST:PORT", default=ADDRESS, help="the server (default: %(default)s)"
    )
    report.add_argument(
        "--server-pid",
        metavar="PID",
        type=_whole,
        help="whose CPU time counts (default: who listens on the port, if on this machine)",
    )
    report.add_argument(
        "--against-engine",
        metavar="REPOSITORY",
        type=Path,
        help="compare with ONNX Runtime called in process on the same texts (embed only)",
    )
    report.add_argument("--json", metavar="FILE", type=Path, help="write all numbers")
    report.add_argument("--picture", metavar="FILE.svg", type=Path, help="draw latency, throughput")


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no positive whole number")
    return int(text)


def _positive(text: str) -> float:
    value = _seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not above 0")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 up")
    return value


def _list(item: Callable[[str], float]) -> Callable[[str], list[float]]:
    def read(text: str) -> list[float]:
        return [item(part) for part in text.split(",")]

    return read
