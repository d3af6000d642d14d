"""`trivet bench`: how much a served model answers, how soon, and at what cost."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trivet_client.bench.flags import add_arguments, check
from trivet_client.errors import TrivetError, invalid
from trivet_client.security import login

if TYPE_CHECKING:
    from trivet_client.bench.asking import Inputs, Target
    from trivet_client.bench.levels import Bench, Level
    from trivet_client.bench.schedule import Pace
    from trivet_client.bench.server_side import Step
    from trivet_client.client import Client

NAME = "bench"
HELP = "load a served model: throughput, latency, batches, and the server's CPU"
DESCRIPTION = """\
Load a model of a running server and report throughput, latency and what it cost the server.

--concurrency keeps so many requests in flight (closed loop): it finds what the server can do.
--rate sends requests at random times, so many a second, whether or not the server keeps up (open
loop): it finds how long a crowd waits. There, latency counts from when a request was due, so that
no stall of the server hides behind a tester that waited for it.

Warm-up is not counted. Latencies are of the requests that were answered; errors are counted by
status. CPU ms is the server's, per request, user and system, where the server runs on this machine.
Padding is the share of the computed tokens that belonged to nobody.
"""
EPILOG = """\
examples:
  trivet bench --task embed                                     1, 4, 16, 64 requests at a time
  trivet bench --task embed --rate 50,100 --stream --picture latency.svg
  trivet bench --task fill_mask --lengths uniform:5:50 --concurrency 8 --requests 1000
  trivet bench --task embed --against-engine model_repository/examples
  trivet bench --task infer --model minilm --shape input_ids:1,32 \\
      --shape attention_mask:1,32 --shape token_type_ids:1,32 --json result.json

exit status: 0 measured; 1 the server could not be asked, or requests failed (the table says which).
"""

__all__ = ["DESCRIPTION", "EPILOG", "HELP", "NAME", "add_arguments", "run"]

POOL = 512  # different texts, sent in turn


def run(args: argparse.Namespace) -> int:
    """Measure and report; 1 if the server could not be asked or any request failed."""
    try:
        check(args)
        with _prepared(args) as (bench, notes):
            levels = _measured(bench, args)
            _report(args, bench, levels, notes)
    except TrivetError as error:
        print(f"trivet: error: {' '.join(error.message.split())}", file=sys.stderr)
        return 1
    return 1 if any(level.summary.failed or not level.summary.answered for level in levels) else 0


@contextmanager
def _prepared(args: argparse.Namespace) -> Iterator[tuple[Bench, list[str]]]:
    """All that is needed before the clock runs, and what is to be said under the table."""
    from trivet_client.bench.asking import Target
    from trivet_client.bench.bare_engine import bare_engine
    from trivet_client.bench.levels import Bench, Extent
    from trivet_client.bench.server_side import cpu_seconds, pid_behind
    from trivet_client.client import Client

    target = Target(
        address=args.url,
        task=args.task,
        model=args.model or args.task,
        version=args.version,
        stream=args.stream,
        timeout_s=args.timeout,
        login=login(args),
    )
    notes: list[str] = []
    with ExitStack() as stack:
        client = stack.enter_context(
            Client(
                args.url,
                timeout_s=args.timeout,
                tls=target.login.tls,
                token=target.login.token,
            )
        )
        texts, inputs = _inputs(args, client, target)
        _first_answer(target, inputs)
        behind = _steps(client, target, notes)
        pid = args.server_pid or pid_behind(args.url)
        if pid is None or cpu_seconds(pid) is None:
            pid = None
            notes.append(_no_cpu(args))
        baseline = None
        if args.against_engine:
            baseline = stack.enter_context(bare_engine(args.against_engine, behind or []))
            _say("searching the bare engine's best batching ...")
            notes.append(f"bare engine's best: {baseline.best_split(texts)}")
        yield (
            Bench(
                target=target,
                inputs=inputs,
                extent=Extent(
                    warmup_s=args.warmup,
                    duration_s=None if args.requests else args.duration,
                    requests=args.requests,
                ),
                seed=args.seed,
                processes=args.processes,
                client=client,
                behind=behind,
                server_pid=pid,
                baseline=baseline,
                texts=texts,
            ),
            notes,
        )


def _inputs(
    args: argparse.Namespace, client: Client, target: Target
) -> tuple[Sequence[str], Inputs]:
    """The texts, none where tensors are sent, and the requests made of them."""
    from trivet_client.bench import distribution, inputs

    def texts(*, masked: bool) -> list[str]:
        if args.texts:
            return inputs.texts_of_file(args.texts)
        chosen = distribution.lengths(args.lengths or "lognormal:24:110")
        return distribution.texts(chosen, POOL, args.seed, masked=masked)

    if args.task != "infer":
        made = texts(masked=args.task == "fill_mask")
        return made, inputs.grouped(made, args.batch)
    metadata = client.model_metadata(target.model, version=args.version)
    if inputs.takes_text(metadata) and not args.input and not args.shape:
        made = texts(masked=inputs.fills_masks(metadata))
        return made, inputs.text_tensors(inputs.grouped(made, args.batch), metadata)
    if args.lengths or args.texts:
        raise invalid(f"model '{target.model}' takes tensors; give --input or --shape")
    return [], [inputs.tensors(metadata, args.input, args.shape, args.seed)]


def _first_answer(target: Target, inputs: Inputs) -> None:
    """Ask once, so that what is wrong altogether is one clear line. Raises TrivetError."""
    import asyncio

    from trivet_client.bench.asking import Asker, connected

    async def ask() -> None:
        async with connected(target) as client:
            await Asker(client, target).answer(inputs[0])

    asyncio.run(ask())


def _steps(client: Client, target: Target, notes: list[str]) -> list[Step] | None:
    from trivet_client.bench.server_side import steps

    try:
        return steps(client, target.model, target.version)
    except TrivetError as error:
        notes.append(f"batches: the server does not tell them ({error.message})")
        return None


def _no_cpu(args: argparse.Namespace) -> str:
    if args.server_pid:
        return f"CPU ms: left out, as there is no process {args.server_pid} to look at"
    return (
        f"CPU ms: left out, as no process of this machine is seen listening at {args.url}; "
        "--server-pid names it"
    )


def _measured(bench: Bench, args: argparse.Namespace) -> list[Level]:
    from trivet_client.bench.schedule import ClosedLoop, OpenLoop
    from trivet_client.bench.workers import Workers

    paces: list[Pace] = (
        [OpenLoop(rate) for rate in args.rate]
        if args.rate
        else [ClosedLoop(concurrency) for concurrency in args.concurrency]
    )
    levels = []
    with Workers(bench.processes) as workers:
        for pace in paces:
            _say(f"running {pace} ...")
            levels.append(bench.level(workers, pace))
    return levels


def _report(
    args: argparse.Namespace, bench: Bench, levels: Sequence[Level], notes: Sequence[str]
) -> None:
    from trivet_client.bench import report
    from trivet_client.bench.picture import latency_throughput

    report.show(levels, notes)
    if args.json:
        _write(args.json, json.dumps(_document(args, bench, levels, notes), indent=2) + "\n")
    if args.picture:
        unit = "texts/s" if bench.texts else "requests/s"
        title = f"{bench.target.model}, {'streamed' if args.stream else 'unary'}"
        varied = report.varied(levels, "requests per second" if args.rate else "requests in flight")
        drawn = latency_throughput(title, unit, varied, report.points(levels, unit))
        _write(args.picture, drawn)


def _document(
    args: argparse.Namespace, bench: Bench, levels: Sequence[Level], notes: Sequence[str]
) -> dict[str, object]:
    from trivet_client.bench.report import document

    server = bench.client.server_metadata()
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "server": {"address": args.url, "name": server.name, "version": server.version},
        "client": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
        "asked": {
            key: str(value) if isinstance(value, Path) else value
            for key, value in sorted(vars(args).items())
        },
        "levels": [document(level) for level in levels],
        "notes": list(notes),
    }


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise invalid(f"{file} cannot be written: {error.strerror}") from error


def _say(what: str) -> None:
    """Progress, where someone watches."""
    if sys.stderr.isatty():
        print(what, file=sys.stderr, flush=True)
