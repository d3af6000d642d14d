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


def words(number: int) -> str:
    """Unlike those of any other number, without digits or quotes."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def test_what_is_kept_is_bounded_in_number_and_length() -> None:
    recent = RecentFailures()
    for number in range(10 * MAX_KEPT):
        recent.note("Embed", Code.INTERNAL, f"{words(number)} {'x' * 10_000}")
    kept = list(recent)
    assert len(kept) == MAX_KEPT
    assert kept[0].message.startswith(f"{words(10 * MAX_KEPT - 1)} ")
    assert all(len(failure.message) < 1000 for failure in kept)


def test_texts_that_differ_in_numbers_and_names_alone_are_of_one_kind() -> None:
    recent = RecentFailures()
    for number in range(3):
        recent.note("Infer", Code.NOT_FOUND, f"unknown model: 'm{number}'; there are {number}")
    (failure,) = recent
    assert (failure.message, failure.count) == ("unknown model: 'm2'; there are 2", 3)


def test_who_is_refused_in_ever_new_words_pushes_out_no_other_status() -> None:
    recent = RecentFailures()
    recent.note("Embed", Code.INTERNAL, "the engine is broken")
    for number in range(10 * MAX_KEPT):
        recent.note("Infer", Code.NOT_FOUND, f"unknown model: {words(number)}")
        recent.note("Infer", Code.INVALID_ARGUMENT, f"no such tensor: {words(number)}")
    assert len(list(recent)) == MAX_KEPT
    assert [each.message for each in recent][-1] == "the engine is broken"


def test_callers_who_leave_are_no_failures() -> None:
    recent = RecentFailures()
    recent.note("Embed", Code.CANCELLED, "gone")
    recent.note("Embed", Code.OK, "")
    assert list(recent) == []


def test_a_bug_keeps_its_words_to_the_log() -> None:
    assert told_of(NotFound("no such model")) == "no such model"
    assert "deadline" in told_of(asyncio.CancelledError())
    assert "secret" not in told_of(KeyError("secret"))
