"""What traces cost: a server that sends metrics and, by default, traces, against one with neither.

    python -m tests.bench.traces [--rounds 5] [--seconds 1.5]

First what tracing takes by itself, in microseconds per call, disturbed least by a busy machine: of
a call that is not sent, which is all but one in a thousand, and of one that is, with its six spans.
Then both servers in turn within each round, on each transport, under the load where tracing weighs
most: calls of one row of 16 elements that a model echoes. CPU per call is told as a ratio round by
round; the collector is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tests.bench.frontend import LOADS, Cost, cost
from tests.bench.metrics import BAR, count_alone, tell
from tests.harness.collector import collecting
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.clock import SystemClock
from trivet.frontend.method import Unary
from trivet.frontend.traced import traced
from trivet.request import BatchRun, InferRequest, InferResponse, Stages
from trivet.telemetry.otel.last_word import LastWord
from trivet.telemetry.otel.ledger import Ledger
from trivet.telemetry.otel.outlet import Outlet
from trivet.telemetry.otel.settings import OtlpConfig
from trivet.telemetry.otel.spans import SpanMaker
from trivet.telemetry.otel.tracer import SpanTracer
from trivet.telemetry.trace_settings import TIMESTAMPS, TraceMode, TraceSettings
from trivet.telemetry.tracing import Tracer

NAME = "/inference.GRPCInferenceService/ModelInfer"
ON, OFF = "sent", "not sent"


class _Encoding(SpanExporter):
    """Makes bytes of spans, as an exporter does, and sends them nowhere."""

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:  # type: ignore[override]
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class _Call:
    """As h2corn's, with the headers of a usual client."""

    time_left_s = None
    _headers = ((b"user-agent", b"grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"10S")) * 2

    def header(self, name: str) -> None:
        wanted = name.encode()
        [header for header in self._headers if header[0] == wanted]

    def set_trailers(self, trailers: object) -> None:
        pass


class _Model:
    version = 1

    async def infer(self, request: InferRequest) -> InferResponse:
        now_ns = time.monotonic_ns()
        return InferResponse("m", 1, {}, stages=Stages(now_ns, 10, 10, 10, 10, BatchRun(1, 1)))


def spans_at(rate: int) -> SpanTracer:
    levels = (TIMESTAMPS,)
    settings = TraceSettings(levels=levels, rate=rate, mode=TraceMode.OPENTELEMETRY, slow_ns=10**12)
    ledger = Ledger("traces", "nowhere", LastWord())
    outlet = Outlet(_Encoding(), OtlpConfig(delay_ms=600_000, max_queue=100_000), ledger)
    return SpanTracer(SystemClock(), settings, SpanMaker(Resource({}), lambda model: ""), outlet)


async def least_us(
    answer: Callable[[], Awaitable[object]], calls: int, flush: Callable[[], None]
) -> float:
    """Of one call, the least of many tries."""
    tries = []
    for _ in range(200):
        began = time.perf_counter()
        for _ in range(calls):
            await answer()
        flush()
        tries.append(time.perf_counter() - began)
    return 1e6 * min(tries) / calls


async def alone() -> None:
    request, model, call = InferRequest("m", {"IN": np.ones(16)}), _Model(), _Call()

    def method(tracer: Tracer, spans: SpanTracer | None) -> Callable[[], Awaitable[object]]:
        async def handler(message: bytes, call: object) -> bytes:
            await tracer.infer(model, request)
            return b""

        wrapped = traced({NAME: Unary(handler)}, spans)[NAME]
        assert isinstance(wrapped, Unary)
        answer: Any = wrapped.handler
        return lambda: answer(b"", call)

    base = await least_us(method(Tracer(SystemClock()), None), 200, lambda: None)
    for what, rate, calls in (("not sent", 0, 200), ("sent", 1, 20)):
        tracer = spans_at(rate)
        us = await least_us(method(tracer, tracer), calls, tracer.flush) - base
        print(f"tracing takes {us:.2f} us per call that is {what}", flush=True)
        tracer.close()


def collect(told: Connection) -> None:
    """A collector until its parent has seen enough."""
    with collecting() as collector:
        told.send(collector.endpoint)
        told.recv()
        told.send(len(collector.spans))


def measure(servers: dict[str, ServerProcess], rounds: int, seconds: float) -> None:
    costs: dict[str, list[Cost]] = {name: [] for name in servers}
    for round_ in range(rounds):
        order = list(servers.items())
        for name, server in order if round_ % 2 else reversed(order):
            costs[name].append(cost(server, LOADS["unary [1,16]"], seconds))
    pairs = list(zip(costs[ON], costs[OFF], strict=True))
    tell("CPU per call", [a.cpu_us / b.cpu_us for a, b in pairs], f"bar {BAR}")
    base = sorted(each.cpu_us for each in costs[OFF])[rounds // 2]
    print(f"  {base:.1f} us CPU per call with neither", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of load in each round")
    args = parser.parse_args()
    count_alone()
    asyncio.run(alone())
    here, there = multiprocessing.Pipe()
    collector = multiprocessing.get_context("spawn").Process(target=collect, args=(there,))
    collector.start()
    sent = (f"--otlp-endpoint={here.recv()}", "--metrics-port=0")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        add_model(folder / "models", "echo", fake_config(max_batch_size=64))
        for transport in ("h2corn", "grpcio"):
            print(transport)
            with ExitStack() as stack:
                servers = {
                    name: stack.enter_context(
                        serving(folder / "models", "--transport", transport, *flags, module=module)
                    )
                    for name, flags, module in (
                        (ON, sent, "trivet"),
                        (OFF, ("--allow-metrics=false",), "tests.bench.uncounted"),
                    )
                }
                measure(servers, args.rounds, args.seconds)
    here.send(None)
    print(f"{here.recv()} spans came to the collector")
    collector.join()


if __name__ == "__main__":
    main()
