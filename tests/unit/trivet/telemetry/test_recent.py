"""What callers were told last."""

from __future__ import annotations

import asyncio

from trivet.errors import Code, NotFound
from trivet.telemetry.recent import MAX_KEPT, RecentFailures, told_of


def test_the_latest_is_first_and_the_same_is_told_once_with_its_count() -> None:
    recent = RecentFailures()
    for message in ("a", "b", "a"):
        recent.note("Embed", Code.NOT_FOUND, message)
    recent.note("Infer", Code.NOT_FOUND, "a")
    told = [(failure.task, failure.message, failure.count) for failure in recent]
    assert told == [("Infer", "a", 1), ("Embed", "a", 2), ("Embed", "b", 1)]
    assert all(failure.last_ms > 1.7e12 for failure in recent)


def test_what_is_kept_is_bounded_in_number_and_length() -> None:
    recent = RecentFailures()
    for number in range(10 * MAX_KEPT):
        recent.note("Embed", Code.INTERNAL, f"{number} {'x' * 10_000}")
    kept = list(recent)
    assert len(kept) == MAX_KEPT
    assert kept[0].message.startswith(f"{10 * MAX_KEPT - 1} ")
    assert all(len(failure.message) < 1000 for failure in kept)


def test_callers_who_leave_are_no_failures() -> None:
    recent = RecentFailures()
    recent.note("Embed", Code.CANCELLED, "gone")
    recent.note("Embed", Code.OK, "")
    assert list(recent) == []


def test_a_bug_keeps_its_words_to_the_log() -> None:
    assert told_of(NotFound("no such model")) == "no such model"
    assert "deadline" in told_of(asyncio.CancelledError())
    assert "secret" not in told_of(KeyError("secret"))
