"""Traces of requests that failed tell where they waited, and in which stage they ended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest

from tests.harness.collector import Collector, Span
from tests.harness.in_process import Here, serving_here
from tests.integration.otlp.asking import (
    EVERY,
    POISON,
    UNARY,
    infer,
    one,
    request_of,
    to,
    tree,
)
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

QUEUED = "queue"


async def fails(here: Here, model: str, value: float = 1.0) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await infer(here, model, value)


def is_error(span: Span) -> bool:
    return bool(span.message.status.code == span.message.status.STATUS_CODE_ERROR)


def stays(spans: Sequence[Span]) -> list[tuple[str, bool]]:
    """Each stay with a model, in the order of begin, and whether it is said to have failed."""
    ordered = sorted(spans, key=lambda span: span.times)
    return [(span.name, is_error(span)) for span in ordered if span.name in {QUEUED, "batch"}]


async def test_one_that_failed_in_its_batch_shows_its_wait_and_the_batch(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        await fails(here, "picky", POISON)
    spans = collector.spans
    assert tree(spans)["infer picky"] == [QUEUED, "batch"]
    assert stays(spans) == [(QUEUED, False), ("batch", True)]
    assert one(spans, "infer picky").attributes["trivet.failed_in"] == "batch"
    assert "poisoned" in one(spans, "batch").message.status.message
    assert one(spans, QUEUED).times[1] == one(spans, "batch").times[0]


async def test_one_whose_time_was_over_in_the_queue_shows_how_long_it_waited(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        await fails(here, "impatient")
    spans = collector.spans
    assert tree(spans)["infer impatient"] == [QUEUED]
    assert stays(spans) == [(QUEUED, True)]
    assert one(spans, "infer impatient").attributes["trivet.failed_in"] == "queue"
    begun, ended = one(spans, QUEUED).times
    assert ended - begun >= 10_000_000


async def test_one_whose_caller_gave_up_shows_where_it_was_then(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        stub = GRPCInferenceServiceAsyncStub(here.channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.ModelInfer(request_of("pairs", 1.0), timeout=0.2)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    spans = collector.spans
    assert tree(spans)["infer pairs"] == [QUEUED]
    assert one(spans, UNARY).attributes["rpc.grpc.status_code"] == 4


async def test_a_pipeline_shows_the_step_that_failed(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        await fails(here, "both", POISON)
    spans = collector.spans
    told = tree(spans)
    assert told["infer both"] == ["step picky"]
    assert told["step picky"] == [QUEUED, "batch"]
    assert is_error(one(spans, "step picky"))


async def test_a_decoupled_model_that_fails_shows_it_too(
    repository: Path, collector: Collector
) -> None:
    async def messages() -> AsyncIterator[pb.ModelInferRequest]:
        yield request_of("breaks", POISON)

    async with serving_here(repository, *to(collector), EVERY) as here:
        stub = GRPCInferenceServiceAsyncStub(here.channel)
        told = [answer.error_message async for answer in stub.ModelStreamInfer(messages())]
        assert told[-1]
    assert tree(collector.spans)["infer breaks"] == [QUEUED, "batch"]


async def test_one_that_was_never_queued_shows_no_wait(
    repository: Path, collector: Collector
) -> None:
    async with serving_here(repository, *to(collector), EVERY) as here:
        with pytest.raises(grpc.aio.AioRpcError):  # without its input
            stub = GRPCInferenceServiceAsyncStub(here.channel)
            await stub.ModelInfer(pb.ModelInferRequest(model_name="echo"))
    asked = one(collector.spans, "infer echo")
    assert "trivet.failed_in" not in asked.attributes
    assert tree(collector.spans)["infer echo"] == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("impatient", [("impatient", ["REQUEST_START", "QUEUE_START", "REQUEST_END"])]),
        (
            "picky",
            [("picky", ["REQUEST_START", "QUEUE_START", "COMPUTE_START", "REQUEST_END"])],
        ),
        (
            "both",
            [
                ("both", ["REQUEST_START", "REQUEST_END"]),
                ("picky", ["QUEUE_START", "COMPUTE_START"]),
            ],
        ),
    ],
)
async def test_tritons_json_has_the_stamps_that_there_were(
    repository: Path, tmp_path: Path, model: str, expected: list[tuple[str, list[str]]]
) -> None:
    path = tmp_path / "traces.json"
    flags = (f"--trace-config=triton,file={path}", "--trace-config=level=TIMESTAMPS", EVERY)
    async with serving_here(repository, *flags) as here:
        await fails(here, model, POISON)
    records = json.loads(path.read_text())
    heads = {record["id"]: record["model_name"] for record in records if "model_name" in record}
    stamps = [
        [stamp["name"] for record in records if record["id"] == number
         for stamp in record.get("timestamps", ())]
        for number in heads
    ]  # fmt: skip
    assert list(zip(heads.values(), stamps, strict=True)) == expected
