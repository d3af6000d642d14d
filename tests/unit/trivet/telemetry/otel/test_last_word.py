"""What is told of data that was not taken: the cause, and not that it is tried no more."""

from __future__ import annotations

import logging

import pytest

from trivet.telemetry.otel.last_word import LastWord


@pytest.mark.parametrize(
    "end",
    [
        "Shutdown in progress, aborting retry.",
        "Failed to export spans batch due to timeout, max retries or shutdown.",
    ],
)
def test_the_cause_outlives_the_end_of_trying(end: str) -> None:
    word = LastWord()
    for said in ("Transient error certificate verify failed encountered, retrying in 1.00s", end):
        word.handle(logging.makeLogRecord({"msg": said}))
    assert "certificate verify failed" in word.text
