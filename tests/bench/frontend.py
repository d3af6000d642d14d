"""What a call costs the server: CPU per call, calls per second and one caller's latency.

    python -m tests.bench.frontend [--rounds 3] [--seconds 1.5] [--examples DIR]

A bare grpc.aio servicer with generated code against the whole server over a model that echoes, on
each transport: in turn within each round, ratios taken round by round, medians of the rounds. The
load comes from this process (`tests.bench.http2`), the CPU is that of the server's process alone.
--examples measures texts instead: real embeddings on both transports, ratios to grpcio's.
Calls per second is what two processes on a busy machine reached, and a lower bound of the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench import http2
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from tests.harness.texts import text_of
from trivet.transport.options import Transport
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.text_pb2 import EmbedRequest

IN_FLIGHT = 64
SMALL, LARGE = 16, 16_384  # elements: 64 bytes and 64 KiB
LONE_CALLS = 400

_UNARY = "/inference.GRPCInferenceService/ModelInfer"
_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
_EMBED = "/trivet.v1.TextService/Embed"
_BARE = "bare"
TEXT_TOKENS, VECTOR_BYTES = 8, 4 * 384


@dataclass(frozen=True)
class Cost:
    """One server under one load."""

    cpu_us: float  # per call
    calls_per_s: float


Load = Callable[[str, float], int]  # address, seconds -> calls answered


def message(elements: int) -> bytes:
    """A request of one FP32 [1, elements]."""
    asked = pb.ModelInferRequest(model_name="echo")
    asked.inputs.add(name="IN", datatype="FP32", shape=[1, elements])
    asked.raw_input_contents.append(np.ones((1, elements), np.float32).tobytes())
    return asked.SerializeToString()


def _unary(elements: int) -> Load:
    asked = message(elements)
    return lambda address, s: http2.unary(address, _UNARY, asked, 4 * elements, IN_FLIGHT, s)


def _streamed(address: str, s: float) -> int:
    return http2.streamed(address, _STREAM, message(SMALL), IN_FLIGHT, s)


LOADS: dict[str, Load] = {
    "unary [1,16]": _unary(SMALL),
    "stream message [1,16]": _streamed,
    "unary 64 KiB": _unary(LARGE),
}
# Of CPU per call, to the bare servicer's; what the issue of this front end asks for.
BARS = {
    ("unary [1,16]", Transport.H2CORN): 0.25,
    ("stream message [1,16]", Transport.H2CORN): 0.3,
    ("unary 64 KiB", Transport.H2CORN): 0.5,
    ("unary [1,16]", Transport.GRPCIO): 1.35,
}
LATENCY_BAR = 0.8  # h2corn, one caller
RATE_BAR = 3.0  # h2corn, calls per second of small unary calls


@contextmanager
def bare() -> Iterator[ServerProcess]:
    """The yardstick, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.bare_servicer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield ServerProcess(process.stdout.readline().split()[-1], process)
        finally:
            process.terminate()


def cost(server: ServerProcess, load: Load, seconds: float) -> Cost:
    load(server.address, min(0.3, seconds))  # warm
    before = server.cpu_s
    calls = load(server.address, seconds)
    return Cost(1e6 * (server.cpu_s - before) / calls, calls / seconds)


def latency_us(server: ServerProcess) -> float:
    """The median of one caller's calls."""
    times = http2.latencies_s(server.address, _UNARY, message(SMALL), LONE_CALLS)
    return 1e6 * statistics.median(times)


def tell(name: str, values: list[float], bases: list[float], unit: str, bar: str = "") -> None:
    ratios = [value / base for value, base in zip(values, bases, strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    value, ratio = statistics.median(values), statistics.median(ratios)
    print(f"  {name:<8} {value:>9.1f} {unit:<12} ratio {ratio:.2f} ({spread}) {bar}", flush=True)


def measure(servers: dict[str, ServerProcess], rounds: int, seconds: float) -> None:
    """Every load on every server in turn, and a line for each."""
    for what, load in LOADS.items():
        costs: dict[str, list[Cost]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                costs[name].append(cost(server, load, seconds))
        print(f"{what}, {IN_FLIGHT} in flight")
        for name in costs:
            bar = BARS.get((what, Transport(name))) if name != _BARE else None
            cpu, base = ([each.cpu_us for each in costs[of]] for of in (name, _BARE))
            tell(name, cpu, base, "us CPU/call", f"bar {bar}" if bar else "")
            rate, base = ([each.calls_per_s for each in costs[of]] for of in (name, _BARE))
            wanted = what == "unary [1,16]" and name == Transport.H2CORN
            tell("", rate, base, "calls/s", f"bar {RATE_BAR} at least" if wanted else "")
    lone: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            lone[name].append(latency_us(server))
    print("one caller, unary [1,16]")
    for name, times in lone.items():
        wanted_us = f"bar {LATENCY_BAR}" if name == Transport.H2CORN else ""
        tell(name, times, lone[_BARE], "us median", wanted_us)


def measure_texts(servers: dict[str, ServerProcess], rounds: int, seconds: float) -> None:
    """Real embeddings: many callers' texts per second and CPU, and one caller's median."""
    asked = EmbedRequest(model="embed", texts=[text_of(TEXT_TOKENS)]).SerializeToString()

    def load(address: str, s: float) -> int:
        return http2.unary(address, _EMBED, asked, VECTOR_BYTES, IN_FLIGHT, s)

    costs: dict[str, list[Cost]] = {name: [] for name in servers}
    lone: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            costs[name].append(cost(server, load, seconds))
            times = http2.latencies_s(server.address, _EMBED, asked, LONE_CALLS // 4)
            lone[name].append(1e6 * statistics.median(times))
    base = Transport.GRPCIO
    print(f"embedding of {TEXT_TOKENS} tokens, {IN_FLIGHT} callers, and one caller's median")
    for name in servers:
        rates, base_rates = ([each.calls_per_s for each in costs[of]] for of in (name, base))
        tell(name, rates, base_rates, "texts/s")
        cpu, base_cpu = ([each.cpu_us for each in costs[of]] for of in (name, base))
        tell("", cpu, base_cpu, "us CPU/text")
        tell("", lone[name], lone[base], "us alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load in each round")
    parser.add_argument("--examples", type=Path, help="a repository with the model embed")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = args.examples or folder / "models"
        if not args.examples:
            add_model(repository, "echo", fake_config(max_batch_size=64))
        servers = {} if args.examples else {_BARE: stack.enter_context(bare())}
        for transport in Transport:
            flags, log = ("--transport", transport), folder / f"{transport}.log"
            servers[transport] = stack.enter_context(serving(repository, *flags, log=log))
        (measure_texts if args.examples else measure)(servers, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
