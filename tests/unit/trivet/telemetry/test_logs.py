"""Lines of the log, for people and as JSON, and the traces that they name."""

from __future__ import annotations

import contextvars
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from trivet.telemetry.logs import EventFormatter, JsonFormatter, LogFormat
from trivet.telemetry.subject import Subject, ids_of, make_current
from trivet.telemetry.w3c import Parent

PARENT = Parent(0xABC, 0xDEF, True)
TRACE = f"{0xABC:032x}"


def line(formatter: logging.Formatter, say: Callable[[logging.Logger], None]) -> str:
    """What one event becomes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    logger = logging.Logger("trivet.somewhere")
    logger.addHandler(handler)
    say(logger)
    return written.getvalue()


def of_a_subject(say: Callable[[logging.Logger], None], formatter: logging.Formatter) -> str:
    """The same, said while a request is answered."""

    def answering() -> str:
        make_current(Subject("Service/Method", PARENT, 0))
        return line(formatter, say)

    return contextvars.copy_context().run(answering)


def loaded(logger: logging.Logger) -> None:
    logger.info("model_ready", extra={"model": 'an "embed"\n', "version": 1, "cores": {2}})


def broke(logger: logging.Logger) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        logger.error("model_failed", exc_info=error)


def as_json(text: str) -> dict[str, Any]:
    assert text.endswith("}\n") and text.count("\n") == 1
    read: dict[str, Any] = json.loads(text)
    return read


def test_an_event_is_one_object_on_one_line() -> None:
    told = as_json(line(JsonFormatter(), loaded))
    assert told.pop("time")[10::13] == "TZ"
    assert told == {
        "level": "INFO",
        "event": "model_ready",
        "logger": "trivet.somewhere",
        "model": 'an "embed"\n',
        "version": 1,
        "cores": "{2}",
    }


def test_a_traceback_is_within_the_object() -> None:
    told = as_json(line(JsonFormatter(), broke))
    assert told["exception"].startswith("Traceback")
    assert told["exception"].endswith("ValueError: two\nlines")


def test_a_line_about_a_request_names_its_trace() -> None:
    told = as_json(of_a_subject(loaded, JsonFormatter()))
    assert told["trace_id"] == TRACE
    assert len(told["span_id"]) == 16 and told["span_id"] != f"{0xDEF:016x}"
    text = of_a_subject(loaded, EventFormatter())
    assert f" model_ready trace_id={TRACE} span_id=" in text
    assert "trace_id" not in line(EventFormatter(), loaded)


def test_what_the_event_itself_says_of_its_trace_counts_more() -> None:
    def about_another(logger: logging.Logger) -> None:
        other = Subject("Service/Method", Parent(0x123, 1, True), 0)
        logger.error("model_failed", extra=ids_of(other))

    assert as_json(of_a_subject(about_another, JsonFormatter()))["trace_id"] == f"{0x123:032x}"


@pytest.mark.parametrize("log_format", [LogFormat.DEFAULT, LogFormat.ISO8601])
def test_for_people_an_event_begins_with_time_and_level(log_format: LogFormat) -> None:
    assert " INFO model_ready model=" in line(EventFormatter(log_format), loaded)
