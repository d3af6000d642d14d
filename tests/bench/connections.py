"""What connections cost that hardly ever call: memory of each, latency, and the server's CPU.

    python -m tests.bench.connections [--connections 1000] [--seconds 10]

So many connections with one small unary call each a second, evenly spread, against the whole server
on each transport. They come from a process of their own (`tests.bench.http2`). Memory is how much
the server's PSS grew from the first connection to the last, buffers of the kernel not included. A
call's time counts from the moment it was due, so that a late start is the caller's pain as well.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import os
import resource
import select
import statistics
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from tests.bench import http2
from tests.bench.frontend import SMALL, message
from tests.bench.memory import memory_of
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.transport.options import Transport

MEMORY_BAR_KB, P99_BAR_MS = 40, 20

_PATH = "/inference.GRPCInferenceService/ModelInfer"
_SETTLING_S = 3.0  # calls whose time does not count: connections are new
_WARMING_CALLS = 500
_EVERY_S = 1.0  # one call of each connection


class _Caller:
    """One connection, and when the calls under way on it were due."""

    def __init__(self, address: str, head: bytes, body: bytes) -> None:
        self.connection = http2.Connection(address)
        self.connection.on_end = self._ended
        self._head, self._body = head, body
        self._due: dict[int, float] = {}  # by stream
        self.times: list[float] = []  # seconds, of calls that have ended

    def call(self, due: float) -> None:
        stream = self.connection.open(self._head)
        self._due[stream] = due
        self.connection.send(stream, self._body, end=True)
        self.connection.flush()

    def _ended(self, stream: int) -> None:
        self.times.append(time.perf_counter() - self._due.pop(stream))


def load(address: str, count: int, seconds: float, told: Pipe) -> None:
    """The process of the callers: tells when its calls count, then their times, and waits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    head, body = http2.head_of(_PATH), http2.framed(message(SMALL))
    callers = [_Caller(address, head, body) for _ in range(count)]
    began = time.perf_counter()
    due = [(began + _EVERY_S * number / count, number) for number in range(count)]
    _call_until(began + _SETTLING_S, callers, due)
    for caller in callers:
        caller.times.clear()
    told.send("settled")
    _call_until(began + _SETTLING_S + seconds, callers, due)
    told.send([seconds_each for caller in callers for seconds_each in caller.times])
    told.recv()  # connections stay until memory is measured


def _call_until(ends: float, callers: list[_Caller], due: list[tuple[float, int]]) -> None:
    """Call when it is due, and take answers as they come. due: a heap of times and callers."""
    ready = select.epoll()
    by_descriptor = {caller.connection.fileno(): caller for caller in callers}
    for descriptor in by_descriptor:
        ready.register(descriptor, select.EPOLLIN)
    with ready:
        while (now := time.perf_counter()) < ends:
            while due[0][0] <= now:
                at, number = due[0]
                callers[number].call(at)
                heapq.heapreplace(due, (at + _EVERY_S, number))
            for descriptor, _ in ready.poll(max(0.0, due[0][0] - time.perf_counter())):
                by_descriptor[descriptor].connection.turn()


def measure(name: str, server: ServerProcess, count: int, seconds: float) -> None:
    """One transport's lines."""
    http2.latencies_s(server.address, _PATH, message(SMALL), _WARMING_CALLS)
    before = memory_of(server.process.pid)
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    caller = spawning.Process(target=load, args=(server.address, count, seconds, theirs))
    caller.start()
    theirs.close()  # so that a caller that dies is an end of file
    try:
        ours.recv()
        cpu_s = server.cpu_s
        times = sorted(ours.recv())
        cpu_s = server.cpu_s - cpu_s
        after = memory_of(server.process.pid)
        ours.send("done")
    finally:
        caller.join(10)
        caller.kill()
    p99_ms = 1e3 * times[int(0.99 * len(times))]
    each_kb = 1024 * (after.pss_mb - before.pss_mb) / count
    print(f"{name}, {count} connections, {len(times) / seconds:.0f} calls/s")
    print(f"  memory  {each_kb:>8.1f} KB per connection   bar {MEMORY_BAR_KB}")
    print(f"  p99     {p99_ms:>8.2f} ms                  bar {P99_BAR_MS}")
    print(f"  median  {1e3 * statistics.median(times):>8.2f} ms")
    print(f"  CPU     {1e6 * cpu_s / len(times):>8.0f} us per call", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="that calls are measured for")
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
    for transport in Transport:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            add_model(folder / "models", "echo", fake_config(max_batch_size=64))
            flags, log = ("--transport", transport), folder / "log"
            server = stack.enter_context(serving(folder / "models", *flags, log=log))
            measure(transport, server, args.connections, args.seconds)


if __name__ == "__main__":
    main()
