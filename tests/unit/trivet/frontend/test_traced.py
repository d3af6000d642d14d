"""Calls and messages as subjects: known while they are answered, and told when they are over."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence

import pytest

from trivet.errors import Code, InvalidInput
from trivet.frontend.method import Call, Unary
from trivet.frontend.refusal import refusal
from trivet.frontend.traced import traced
from trivet.telemetry.logs import JsonFormatter
from trivet.telemetry.subject import Subject, current
from trivet.telemetry.w3c import Header, parent_of

NAME = "/inference.GRPCInferenceService/ModelInfer"
PARENT = f"00-{0xABC:032x}-{0xDEF:016x}-01"


class Asked:
    """A call, as a transport lends it."""

    metadata: Mapping[str, str | bytes] = {"traceparent": PARENT}
    peer = "test"

    def __init__(self, time_left_s: float | None = None) -> None:
        self.time_left_s = time_left_s
        self.trailers: Sequence[tuple[str, str | bytes]] = ()

    def header(self, name: str) -> str | bytes | None:
        return self.metadata.get(name)

    def set_trailers(self, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        self.trailers = trailers


class Notes:
    """A tracer that notes what it is told."""

    def __init__(self) -> None:
        self.on = True
        self.ended: list[tuple[Subject, Code, str]] = []

    def begin(self, name: str, header: Header) -> Subject:
        return Subject(name, parent_of(header("traceparent")), 0)

    def over(self, subject: Subject, code: Code, message: str = "") -> str:
        self.ended.append((subject, code, message))
        return "told"


def method(notes: Notes, error: BaseException | None = None, name: str = NAME) -> Unary:
    async def answer(message: bytes, call: Call) -> bytes:
        if error:
            raise error
        subject = current()
        return f"{subject.ids[0]:x}".encode() if subject else b"nobody"

    wrapped = traced({name: Unary(answer)}, notes)[name]
    assert isinstance(wrapped, Unary)
    return wrapped


async def test_an_answer_is_made_while_its_subject_is_current() -> None:
    notes, call = Notes(), Asked()
    assert await method(notes).handler(b"", call) == b"abc"
    ((subject, code, message),) = notes.ended
    assert (subject.name, code, message) == (NAME[1:], Code.OK, "")
    assert call.trailers == [("traceresponse", "told")]


@pytest.mark.parametrize(
    ("error", "time_left_s", "code", "message"),
    [
        (InvalidInput("wrong"), None, Code.INVALID_ARGUMENT, "wrong"),
        (KeyError("/a/path"), None, Code.INTERNAL, "KeyError"),
        (asyncio.CancelledError(), 1.0, Code.CANCELLED, "CancelledError"),
        (asyncio.CancelledError(), 0.0, Code.DEADLINE_EXCEEDED, "CancelledError"),
    ],
)
async def test_a_failure_is_told_and_raised(
    error: BaseException, time_left_s: float | None, code: Code, message: str
) -> None:
    notes = Notes()
    with pytest.raises(type(error)):
        await method(notes, error).handler(b"", Asked(time_left_s))
    assert [each[1:] for each in notes.ended] == [(code, message)]


async def test_nothing_is_noted_while_traces_are_off_or_of_methods_that_ask_no_model() -> None:
    notes = Notes()
    notes.on = False
    assert await method(notes).handler(b"", Asked()) == b"nobody"
    notes.on = True
    health = method(notes, name="/grpc.health.v1.Health/Check")
    assert await health.handler(b"", Asked()) == b"nobody"
    assert notes.ended == []


async def test_the_log_of_a_bug_names_the_trace_of_its_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(message: bytes, call: Call) -> bytes:
        try:
            raise KeyError("bug")
        except KeyError as error:
            raise refusal(error, "here") from None

    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines()
    handler.setFormatter(JsonFormatter())
    wrapped = traced({NAME: Unary(answer)}, Notes())[NAME]
    assert isinstance(wrapped, Unary)
    logger = logging.getLogger("trivet.frontend")
    logger.addHandler(handler)
    try:
        with pytest.raises(Exception, match="internal error"):
            await wrapped.handler(b"", Asked())
    finally:
        logger.removeHandler(handler)
    told = json.loads(lines[0])
    assert (told["event"], told["trace_id"]) == ("internal_error", f"{0xABC:032x}")
