"""A collector that is slow, away or full holds up nobody; what is lost is counted and told once."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.harness.collector import Collector, collecting
from tests.harness.in_process import serving_here
from tests.harness.repositories import add_model, fake_config
from tests.integration.otlp.asking import EVERY, UNARY, infer, named, one, to

OF_A_TRACE = 6  # spans: the call, the request, queue, batch, compute, and the batch's own
FULL = """
    dynamic_batching { max_queue_delay_microseconds: 600000000 preferred_batch_size: 4
        default_queue_policy { max_queue_size: 1 } }
"""


def numbers(collector: Collector, name: str) -> dict[str, float]:
    """The values of a counter by kind of data, as they were sent last."""
    _, metrics = collector.last_metrics
    points = metrics[name].sum.data_points
    return {point.attributes[0].value.string_value: point.as_double for point in points}


def events(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == event]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_slow_collector_gets_what_has_room_and_requests_do_not_notice(
    repository: Path, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with collecting(protocol) as collector:
        collector.gate.clear()  # it takes nothing until all requests are answered
        room = [f"--trace-config=opentelemetry,bsp_max_queue_size={2 * OF_A_TRACE}"]
        room += [f"--trace-config=opentelemetry,bsp_max_export_batch_size={OF_A_TRACE}"]
        async with serving_here(repository, *to(collector), EVERY, *room) as here:
            for number in range(20):
                await infer(here, "echo", request_id=str(number))
            collector.gate.set()
        asked = named(collector.spans, "infer echo")
        assert [span.attributes["trivet.request.id"] for span in asked] == ["0", "1"]
        lost = 18 * OF_A_TRACE
        assert numbers(collector, "trivet_otlp_dropped_total") == {"traces": lost, "metrics": 0}
    (told,) = events(caplog, "otlp_queue_full")
    assert told["endpoint"].startswith(collector.endpoint)
    (again,) = events(caplog, "otlp_sent_again")
    assert again["dropped"] == lost


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_collector_that_is_away_is_told_of_once_and_holds_up_nobody(
    repository: Path,
    protocol: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")  # for each try, in seconds
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        away = (f"--otlp-endpoint={endpoint}", f"--otlp-protocol={protocol}")
        size = f"--trace-config=opentelemetry,bsp_max_export_batch_size={OF_A_TRACE}"
        async with serving_here(repository, *away, EVERY, size) as here:
            for _ in range(3):
                await infer(here, "echo")
    told = {record["kind"]: record for record in events(caplog, "otlp_not_taken")}
    assert len(events(caplog, "otlp_not_taken")) == len(told) == 2
    assert set(told) == {"traces", "metrics"}
    assert told["traces"]["endpoint"].startswith(endpoint)
    assert "spans" not in told["metrics"]["why"] and "traces" not in told["metrics"]["why"]
    others = {record.name.partition(".")[0] for record in caplog.records}
    assert "opentelemetry" not in others, "the SDK has a line for every try"


async def test_a_server_ends_although_its_collector_never_answers(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting() as collector:
        collector.gate.clear()
        async with serving_here(repository, *to(collector), EVERY) as here:
            await infer(here, "echo")
        kinds = {record["kind"] for record in events(caplog, "otlp_not_sent")}
        assert kinds == {"traces", "metrics"}


async def test_an_overloaded_answer_tells_its_trace_beside_when_to_come_again(
    tmp_path: Path, collector: Collector
) -> None:
    add_model(tmp_path, "full", fake_config(batching=FULL))
    async with serving_here(tmp_path, *to(collector)) as here:
        asking = {asyncio.create_task(infer(here, "full")) for _ in range(2)}
        refused, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        error = refused.pop().exception()
        waiting.pop().cancel()
        assert isinstance(error, grpc.aio.AioRpcError)
        trailers = dict(error.trailing_metadata() or ())
    root = one(collector.spans, UNARY)
    assert root.attributes["rpc.grpc.status_code"] == 14
    assert trailers["traceresponse"] == f"00-{root.trace_id}-{root.span_id}-01"
    assert b"RetryInfo" in trailers["grpc-status-details-bin"]
