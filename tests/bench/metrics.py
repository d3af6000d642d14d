"""What metrics cost: a server that counts and is read, against one that counts nothing for them.

    python -m tests.bench.metrics [--rounds 7] [--seconds 1.5] [--models 1]

Both in turn within each round, on each transport, under the load where counting weighs most: calls
of one row of 16 elements that a model echoes. The one that counts is read every second. CPU per
call and calls per second are told as ratios round by round; --models adds idle models, whose lines
make the page longer. Before that: what counting takes by itself, disturbed least by a busy machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
import timeit
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.frontend import LOADS, Cost, cost
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.clock import SystemClock
from trivet.errors import Code
from trivet.telemetry.calls import CALL, Calls
from trivet.telemetry.histogram import Histogram
from trivet.transport.options import Transport

BAR = 1.03  # of CPU per call; the project's bar for metrics and default traces together
READ_EVERY_S = 1.0
COUNTED, UNCOUNTED = "counted", "uncounted"
CONTESTANTS = (
    (COUNTED, "--metrics-port=0", "trivet"),
    (UNCOUNTED, "--allow-metrics=false", "tests.bench.uncounted"),
)


@contextmanager
def read(url: str) -> Iterator[list[float]]:
    """Read a page again and again until the block ends; gives how long each took, in seconds."""
    ended, took = threading.Event(), list[float]()

    def reading() -> None:
        while not ended.wait(READ_EVERY_S):
            began = time.perf_counter()
            urllib.request.urlopen(url, timeout=10).read()
            took.append(time.perf_counter() - began)

    reader = threading.Thread(target=reading)
    reader.start()
    try:
        yield took
    finally:
        ended.set()
        reader.join()


def measure(servers: dict[str, ServerProcess], rounds: int, seconds: float) -> None:
    for what in ("unary [1,16]", "stream message [1,16]"):
        costs: dict[str, list[Cost]] = {name: [] for name in servers}
        took: list[float] = []
        for round_ in range(rounds):
            order = list(servers.items())
            for name, server in order if round_ % 2 else reversed(order):
                if server.metrics is None:
                    costs[name].append(cost(server, LOADS[what], seconds))
                    continue
                with read(server.metrics) as reads:
                    costs[name].append(cost(server, LOADS[what], seconds))
                took += reads
        pairs = list(zip(costs[COUNTED], costs[UNCOUNTED], strict=True))
        tell(f"{what}: CPU per call", [a.cpu_us / b.cpu_us for a, b in pairs], f"bar {BAR}")
        tell(f"{what}: calls per second", [a.calls_per_s / b.calls_per_s for a, b in pairs])
        cpu = statistics.median(each.cpu_us for each in costs[UNCOUNTED])
        page_ms = 1e3 * statistics.median(took) if took else 0
        print(f"  {cpu:.1f} us CPU per call uncounted; a page took {page_ms:.0f} ms", flush=True)


def count_alone() -> None:
    """Microseconds of what is done each time, the least of many tries."""
    kind, took, waited = Calls(SystemClock()).kind("Infer", CALL), Histogram(), Histogram()

    def call() -> None:
        kind.over(Code.OK, kind.now_ns())
        took.add(123_456)
        waited.add(7_890)

    def message() -> None:
        with kind.one():
            pass
        took.add(123_456)
        waited.add(7_890)

    def batch() -> None:
        for _ in range(3):
            took.add(123_456)

    for what, done in (("call", call), ("message of a stream", message), ("batch", batch)):
        us = 1e6 * min(timeit.repeat(done, number=10_000, repeat=50)) / 10_000
        print(f"counting takes {us:.2f} us per {what}", flush=True)


def tell(what: str, ratios: list[float], bar: str = "") -> None:
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"  {what}: ratio {statistics.median(ratios):.3f} ({spread}) {bar}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load in each round")
    parser.add_argument("--models", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        add_model(folder / "models", "echo", fake_config(max_batch_size=64))
        for number in range(1, args.models):
            add_model(folder / "models", f"idle{number}")
        count_alone()
        for transport in Transport:
            print(f"{transport}, {args.models} models")
            with ExitStack() as stack:
                servers = {
                    name: stack.enter_context(
                        serving(
                            folder / "models",
                            *("--transport", transport, flag),
                            log=folder / f"{name}.log",
                            module=module,
                        )
                    )
                    for name, flag, module in CONTESTANTS
                }
                measure(servers, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
