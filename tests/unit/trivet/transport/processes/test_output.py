"""What a process writes becomes lines of this one's log, events as events."""

from __future__ import annotations

import logging
import os

import pytest

from trivet.transport.processes.output import Output, ToOwner


@pytest.fixture(autouse=True)
def _every_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trivet")


def told(written: bytes) -> None:
    """Log what a process with number 7 wrote before it ended."""
    reading, writing = os.pipe()
    output = Output(reading, 7)
    os.write(writing, written)
    os.close(writing)
    output.close()
    os.close(reading)


async def test_events_keep_logger_level_fields_and_traceback(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        raise ValueError("bad")
    except ValueError as error:
        exc_info = (type(error), error, error.__traceback__)
    record = logging.makeLogRecord(
        {
            "name": "trivet.frontend",
            "levelno": logging.ERROR,
            "msg": "internal_error",
            "where": "Echo 100%",
            "exc_info": exc_info,
        }
    )
    ToOwner().emit(record)
    told(capfd.readouterr().err.encode())
    (logged,) = caplog.records
    assert (logged.name, logged.levelno) == ("trivet.frontend", logging.ERROR)
    assert logged.getMessage() == "internal_error"
    assert vars(logged)["where"] == "Echo 100%"
    assert "ValueError: bad" in vars(logged)["exception"]


@pytest.mark.parametrize("text", ["\x1e[cut off", "\x1e3", "panicked at 1"])
async def test_all_else_is_told_as_it_was_printed(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    told(f"{text}\n\nlast words".encode())
    assert [vars(record)["text"] for record in caplog.records] == [text.strip(), "last words"]
    assert {vars(record)["frontend_process"] for record in caplog.records} == {7}
