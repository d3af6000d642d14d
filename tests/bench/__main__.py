"""Measure the server against its own engine and against simpler servers; print the ratios.

Everything is measured in turn within each round, and ratios are taken round by round, because the
speed of a shared machine drifts. Needs the example repository: `make demo` builds it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.results import written
from tests.bench.rivals import FIFO_8, LENGTH_AWARE, ONE_BY_ONE, repository_of
from tests.harness.server import ServerProcess, serving
from tests.harness.texts import mixed_lengths, mixed_texts, text_of
from trivet_backends.onnxruntime.bare import BareEngine, Split
from trivet_client import Client

ENCODER = "minilm"
LONE_TOKENS = 20
LATENCY_BLOCKS, CALLS_PER_BLOCK = 15, 60


@dataclass(frozen=True)
class Row:
    """One line of the table: what was compared, the ratio (or value) and what it should be."""

    what: str
    values: Sequence[float]
    bar: str
    ok: bool

    def __str__(self) -> str:
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        mark = "ok" if self.ok else "MISSED"
        return f"{self.what:<66} {middle:7.2f}  ({low:.2f} to {high:.2f})  {self.bar:<14} {mark}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--examples", type=Path, default=Path("model_repository/examples"))
    parser.add_argument("--texts", type=int, default=512, help="texts per run (default: 512)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default: 5)")
    args = parser.parse_args()

    folder = args.examples / ENCODER
    version = max((path for path in folder.glob("[0-9]*")), key=lambda path: int(path.name))
    tokenizer = next((args.examples / f"{ENCODER}_tokenizer").glob("[0-9]*/tokenizer.json"))
    engine = BareEngine(version / "model.onnx", tokenizer)
    texts = mixed_texts(args.texts)
    tokens = sum(mixed_lengths(args.texts))
    print(f"{args.texts} texts, {tokens} tokens; searching the bare engine's best batching ...")
    split = engine.best_split(texts)
    print(f"bare engine's best: {split}\n", flush=True)

    rows = [*_start_up(args.examples), *_throughput(args, engine, split, texts, tokens)]
    print(f"\n{'':<66} {'median':>7}  (min to max)  bar")
    print(*rows, sep="\n")
    cells = [(row.what, row.values, row.bar, row.ok) for row in rows]
    print(f"\nwritten to {written(cells, f'{args.texts} texts, {tokens} tokens; {split}')}")


def _start_up(examples: Path) -> list[Row]:
    seconds, megabytes = [], []
    for _ in range(3):
        started = time.perf_counter()
        with serving(examples) as server:
            seconds.append(time.perf_counter() - started)
            megabytes.append(server.rss_mb)
    return [
        Row("from `trivet serve` to ready, seconds", seconds, "< 3", max(seconds) < 3),
        Row("idle memory, MB", megabytes, "< 400", max(megabytes) < 400),
    ]


def _throughput(
    args: argparse.Namespace, engine: BareEngine, split: Split, texts: list[str], tokens: int
) -> list[Row]:
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs: dict[str, Callable[[], object]] = {"bare": lambda: engine.embed(texts, split)}
        servers: dict[str, ServerProcess] = {}
        clients: dict[str, Client] = {}
        for number, rival in enumerate((LENGTH_AWARE, FIFO_8, ONE_BY_ONE)):
            repository = repository_of(rival, args.examples, ENCODER, scratch / str(number))
            server = stack.enter_context(serving(repository, log=scratch / f"{number}.log"))
            client = stack.enter_context(Client(server.address))
            servers[rival.name], clients[rival.name] = server, client
            runs[rival.name] = lambda client=client: client.embed(texts)
        _check_answers(engine, split, clients[LENGTH_AWARE.name], texts)
        seconds = _rounds(runs, args.rounds)
        for name, values in seconds.items():
            print(f"{name:<50} {tokens / statistics.median(values):8.0f} tokens/s")
        added_ms = _added_latency_ms(engine, clients[LENGTH_AWARE.name])
    ours = seconds[LENGTH_AWARE.name]
    slower = _ratios(ours, seconds["bare"])
    than_fifo = _ratios(seconds[FIFO_8.name], ours)
    than_single = _ratios(seconds[ONE_BY_ONE.name], ours)
    return [
        Row(
            "time through the socket / bare engine, best batching",
            slower,
            "<= 1.15",
            statistics.median(slower) <= 1.15,
        ),
        Row(
            f"faster than: {FIFO_8.name}",
            than_fifo,
            ">= 1.7",
            statistics.median(than_fifo) >= 1.7,
        ),
        Row(
            f"faster than: {ONE_BY_ONE.name}",
            than_single,
            ">= 1",
            statistics.median(than_single) >= 1,
        ),
        Row(
            f"one caller, {LONE_TOKENS} tokens: median latency over the bare engine's, ms",
            added_ms,
            "<= 1.5",
            statistics.median(added_ms) <= 1.5,
        ),
    ]


def _check_answers(engine: BareEngine, split: Split, client: Client, texts: list[str]) -> None:
    """A fast wrong answer is no answer."""
    difference = np.abs(client.embed(texts).vectors - engine.embed(texts, split)).max()
    if difference > 1e-4:
        raise RuntimeError(f"the server's embeddings differ from the engine's by {difference}")


def _rounds(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
        print(f"round {number} of {rounds} done", flush=True)
    return seconds


def _added_latency_ms(engine: BareEngine, client: Client) -> list[float]:
    """Median through the server minus median of the engine with all cores, block by block.

    In blocks, with a pause, because the engine's threads spin on for a while after each call, and
    would take the cores from the server.
    """
    text = text_of(LONE_TOKENS)
    added = []
    for _ in range(LATENCY_BLOCKS):
        bare = _median_s(lambda: engine.embed_one(text, threads=2))
        ours = _median_s(lambda: client.embed([text]))
        added.append((ours - bare) * 1e3)
    return added


def _median_s(run: Callable[[], object]) -> float:
    time.sleep(0.2)
    return statistics.median(_seconds(run) for _ in range(CALLS_PER_BLOCK))


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


if __name__ == "__main__":
    main()
