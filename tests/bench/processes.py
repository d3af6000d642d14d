"""What front-end processes cost and take off the owner of the engines.

    python -m tests.bench.processes [--frontend-processes 2] [--rounds 3] [--seconds 1.5]

The server over a model that echoes, and over one that embeds texts by a real tokenizer and an
engine that takes next to no time, on each transport: all in one process against N that take
connections, in turn within each round, medians of the rounds. CPU per call of the owner, of all
front-end processes together, and calls per second, which the caller's own core bounds on a machine
with few. Then what such a process takes: memory of its own, and how long until it is replaced.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import http2
from tests.bench.frontend import IN_FLIGHT, LOADS, Load, latency_us
from tests.harness.artifacts import WIDTH
from tests.harness.processes import children_of
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from tests.harness.text_models import add_embedding
from tests.harness.texts import text_of
from trivet.transport.options import Transport
from trivet_protos.generated.text_pb2 import EmbedRequest

_EMBED = "/trivet.v1.TextService/Embed"


def _embedded(tokens: int) -> Load:
    asked = EmbedRequest(model="embed", texts=[text_of(tokens)]).SerializeToString()
    return lambda address, s: http2.unary(address, _EMBED, asked, 4 * WIDTH, IN_FLIGHT, s)


TEXT_LOADS = {f"text of {tokens} tokens": _embedded(tokens) for tokens in (8, 32)}


@dataclass(frozen=True)
class Cost:
    """One server under one load. CPU in microseconds per call."""

    owner_us: float
    others_us: float
    calls_per_s: float


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds used so far, of all of them."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def cost(server: ServerProcess, load: Load, seconds: float) -> Cost:
    load(server.address, min(0.3, seconds))  # warm
    others = children_of(server.process.pid)
    owner_before, others_before = server.cpu_s, cpu_s(others)
    calls = load(server.address, seconds)
    owner, rest = server.cpu_s - owner_before, cpu_s(others) - others_before
    return Cost(1e6 * owner / calls, 1e6 * rest / calls, calls / seconds)


def measure(servers: dict[str, ServerProcess], rounds: int, seconds: float) -> None:
    """Every load on every server in turn."""
    for what, load in (LOADS | TEXT_LOADS).items():
        costs: dict[str, list[Cost]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                costs[name].append(cost(server, load, seconds))
        print(f"{what}, {IN_FLIGHT} in flight")
        for name, found in costs.items():
            owner, others, rate = (
                statistics.median(getattr(each, field) for each in found)
                for field in ("owner_us", "others_us", "calls_per_s")
            )
            print(
                f"  {name:<12} owner {owner:6.1f} us/call   front end {others:6.1f} us/call"
                f"   {rate:7.0f} calls/s",
                flush=True,
            )
    print("one caller, median of a call")
    for name, server in servers.items():
        print(f"  {name:<12} {min(latency_us(server) for _ in range(rounds)):6.0f} us", flush=True)


def anonymous_mb(pid: int) -> float:
    """Memory that a process shares with nobody and no file."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure_process(name: str, server: ServerProcess, log: Path) -> None:
    """What one takes, and how long it takes to have another."""
    first = children_of(server.process.pid)[0]
    memory = anonymous_mb(first)
    began = time.perf_counter()
    os.kill(first, signal.SIGKILL)
    while "frontend_process_replaced" not in log.read_text():
        time.sleep(0.002)
    taken_ms = 1e3 * (time.perf_counter() - began)
    print(f"  {name:<12} {memory:.0f} MB of its own, replaced after {taken_ms:.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frontend-processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load in each round")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        add_model(folder / "models", "echo", fake_config(max_batch_size=64))
        add_embedding(folder / "models")
        servers: dict[str, ServerProcess] = {}
        for transport in Transport:
            for count in (1, args.frontend_processes):
                name = f"{transport} {count}"
                flags = ("--transport", transport, "--frontend-processes", str(count))
                log = folder / f"{name}.log"
                servers[name] = stack.enter_context(serving(folder / "models", *flags, log=log))
        measure(servers, args.rounds, args.seconds)
        print("a process that takes connections")
        for transport in Transport:
            name = f"{transport} {args.frontend_processes}"
            measure_process(name, servers[name], folder / f"{name}.log")


if __name__ == "__main__":
    main()
