"""Spans that are made of what a request left behind, and which requests they are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from trivet.errors import Code, QueueFull
from trivet.request import BatchRun, InferRequest, InferResponse, Stages
from trivet.telemetry.otel.last_word import LastWord
from trivet.telemetry.otel.ledger import Ledger
from trivet.telemetry.otel.outlet import Outlet
from trivet.telemetry.otel.settings import OtlpConfig
from trivet.telemetry.otel.spans import Ended, SpanMaker
from trivet.telemetry.otel.tracer import MAX_BESIDES_PER_S, SpanTracer
from trivet.telemetry.subject import MAX_ASKED, Subject, current, make_current
from trivet.telemetry.trace_settings import TIMESTAMPS, TraceMode, TraceSettings
from trivet.testing.clock import ManualClock

SETTINGS = TraceSettings(levels=(TIMESTAMPS,), rate=1, mode=TraceMode.OPENTELEMETRY, slow_ns=0)
METHOD = "trivet.v1.TextService/Embed"
NO_HEADER = dict[str, str]().get
NEVER = replace(SETTINGS, rate=0)
STEPS = {
    "words": Stages(1000, 10, 20, 30, 40, BatchRun(1, 1)),
    "cached": Stages(),
    "encoder": Stages(2000, 10, 20, 30, 40, BatchRun(2, 5, 70, 7)),
}


class Kept(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class Bed:
    """A tracer, its clock and what it sent."""

    def __init__(self, settings: TraceSettings = SETTINGS) -> None:
        self.clock, self._exporter = ManualClock(), Kept()
        maker = SpanMaker(Resource({}), {"words": "tokenizers"}.get)  # type: ignore[arg-type]
        self.ledger = Ledger("traces", "here", LastWord())
        outlet = Outlet(self._exporter, OtlpConfig(delay_ms=600_000), self.ledger)
        self.tracer = SpanTracer(self.clock, settings, maker, outlet)

    def spans(self) -> list[ReadableSpan]:
        self.tracer.flush()
        return self._exporter.spans


class Embedder:
    """A pipeline that answers, or raises."""

    version = 3

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def infer(self, request: InferRequest) -> InferResponse:
        if self._error:
            raise self._error
        return InferResponse("embed", 3, {}, stages=STEPS["encoder"], steps=STEPS)


def asked(number: int = 0) -> InferRequest:
    return InferRequest("embed", {"TEXT": np.zeros(1)}, id=f"r{number}")


def names(spans: Sequence[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]


async def test_a_step_by_a_tokenizer_is_called_what_it_does() -> None:
    bed = Bed()
    subject = bed.tracer.begin(METHOD, NO_HEADER)
    make_current(subject)
    await bed.tracer.infer(Embedder(), asked())
    bed.tracer.over(subject, Code.OK)
    spans = bed.spans()
    root, embed, words, *of_words = spans[:7]
    assert names(spans) == [
        METHOD, "infer embed",
        "tokenize", "queue", "batch words", "batch", "compute",
        "step encoder", "queue", "batch encoder", "batch", "compute",
    ]  # fmt: skip
    assert embed.parent and embed.parent.span_id == root.context.span_id
    assert words.parent and words.parent.span_id == embed.context.span_id
    queue, batch, compute = of_words[0], of_words[2], of_words[3]

    def times(span: ReadableSpan) -> tuple[int, int]:
        assert span.start_time and span.end_time and words.start_time
        return span.start_time - words.start_time, span.end_time - words.start_time

    assert times(words) == (0, 100)
    assert times(queue) == (0, 10)
    assert times(batch) == (10, 100)
    assert times(compute) == (30, 60)
    assert bed.ledger.items_sent == 12


async def test_a_batch_is_told_once_by_whichever_of_its_requests_is_first() -> None:
    bed, run = Bed(), BatchRun(2, 5, 70, 7)
    for _ in range(2):
        subject = bed.tracer.begin(METHOD, NO_HEADER)
        stages = Stages(10, 1, 1, 1, 1, run)
        subject.note(("m", 1, "", (5, 20), stages, None, None, ()))
        bed.tracer.over(subject, Code.OK)
    spans = bed.spans()
    (shared,) = [span for span in spans if span.name == "batch m"]
    links = [link.context for span in spans for link in span.links]
    assert links == [shared.context] * 2
    assert dict(shared.attributes or {}) == {
        "trivet.model.name": "m",
        "trivet.batch.requests": 2,
        "trivet.batch.rows": 5,
        "trivet.batch.tokens": 70,
        "trivet.batch.padding_tokens": 7,
    }


async def test_a_call_of_many_texts_tells_the_first_of_them_and_how_many_more() -> None:
    bed = Bed()
    subject = bed.tracer.begin(METHOD, NO_HEADER)
    make_current(subject)
    for number in range(MAX_ASKED + 5):
        await bed.tracer.infer(Embedder(), asked(number))
    bed.tracer.over(subject, Code.OK)
    spans = bed.spans()
    assert names(spans).count("infer embed") == MAX_ASKED
    assert (spans[0].attributes or {})["trivet.requests_not_shown"] == 5


async def test_texts_that_are_answered_at_the_same_time_are_all_of_the_one_call() -> None:
    bed = Bed()
    subject = bed.tracer.begin(METHOD, NO_HEADER)
    make_current(subject)
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(_infer(bed.tracer, number))
    assert [each[2] for each in subject.asked] == ["r0", "r1", "r2"]
    assert current() is subject


async def _infer(tracer: SpanTracer, number: int) -> None:
    await tracer.infer(Embedder(), asked(number))


async def test_a_failed_request_says_what_its_caller_was_told_and_a_bug_its_kind() -> None:
    bed = Bed()
    subject = bed.tracer.begin(METHOD, NO_HEADER)
    make_current(subject)
    for error in (QueueFull("embed", 2), ValueError("/a/path/of/ours")):
        with pytest.raises(type(error)):
            await bed.tracer.infer(Embedder(error), asked())
    bed.tracer.over(subject, Code.INTERNAL, "told")
    root, full, bug = bed.spans()
    assert root.status.description == "told"
    assert "exceeds maximum queue size" in (full.status.description or "")
    assert bug.status.description == "ValueError"


def failing(bed: Bed, times: int) -> None:
    for _ in range(times):
        bed.tracer.over(bed.tracer.begin(METHOD, NO_HEADER), Code.UNAVAILABLE, "no")


async def test_a_flood_of_failures_is_traced_so_many_times_a_second() -> None:
    bed = Bed(NEVER)
    failing(bed, MAX_BESIDES_PER_S + 50)
    assert len(bed.spans()) == MAX_BESIDES_PER_S
    await bed.clock.advance(us=1_000_000)
    failing(bed, 2)
    assert len(bed.spans()) == MAX_BESIDES_PER_S + 2


@pytest.mark.parametrize("code", [Code.OK, Code.CANCELLED])
async def test_neither_an_answer_nor_a_caller_who_left_is_a_failure(code: Code) -> None:
    bed = Bed(NEVER)
    assert bed.tracer.over(bed.tracer.begin(METHOD, NO_HEADER), code) == ""
    assert bed.spans() == []


@pytest.mark.parametrize("code", [Code.OK, Code.CANCELLED])
async def test_what_takes_as_long_as_the_limit_is_slow(code: Code) -> None:
    bed = Bed(replace(NEVER, slow_ns=1_000))
    quick, slow = bed.tracer.begin(METHOD, NO_HEADER), bed.tracer.begin(METHOD, NO_HEADER)
    bed.tracer.over(quick, code)
    await bed.clock.advance(us=1)
    bed.tracer.over(slow, code)
    (span,) = bed.spans()
    assert span.context.span_id == slow.ids[1]


async def test_every_so_manieth_request_without_a_callers_trace_is_sent() -> None:
    bed = Bed(replace(SETTINGS, rate=3))
    unsampled = {"traceparent": f"00-{7:032x}-{7:016x}-00"}
    for number in range(12):
        bed.tracer.over(
            bed.tracer.begin(METHOD, unsampled.get if number % 2 else NO_HEADER), Code.OK
        )
    assert len(bed.spans()) == 2


def test_a_clock_that_is_set_does_not_tear_a_trace_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    world = iter((5_000_000, 1_000_000))  # an hour of summer less
    monkeypatch.setattr("trivet.telemetry.otel.spans.time.time_ns", lambda: next(world))
    maker = SpanMaker(Resource({}), lambda model: "")
    for zero in (4_999_000, 999_000):
        subject = Subject(METHOD, None, 100)
        subject.note(("m", 1, "", (200, 900), Stages(300, 100, 0, 100, 0), None, None, ()))
        spans = maker.spans(subject, Ended(1000, Code.OK, "", "rate"), 1000)
        assert [(span.start_time, span.end_time) for span in spans] == [
            (zero + begun, zero + ended)
            for begun, ended in ((100, 1000), (200, 900), (300, 400), (400, 500), (400, 500))
        ]
