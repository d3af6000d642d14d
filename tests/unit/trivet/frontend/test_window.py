"""How many messages of a stream are under way follows from how large its answers are."""

from __future__ import annotations

import asyncio

import pytest

from trivet.frontend.window import (
    ALL_ANSWER_BYTES,
    ANSWER_BYTES,
    UNKNOWN,
    Unread,
    Window,
    width,
)


@pytest.mark.parametrize(
    ("limit", "largest", "wide"),
    [
        (1024, None, UNKNOWN),
        (4, None, 4),
        (1024, 0, 1024),
        (1024, 100, 1024),
        (1024, ANSWER_BYTES // 1024, 1024),
        (1024, ANSWER_BYTES // 16, 16),
        (1024, ANSWER_BYTES // 2 + 1, 1),
        (1024, 10 * ANSWER_BYTES, 1),
        (4, ANSWER_BYTES // 16, 4),
    ],
)
def test_as_many_as_answers_of_the_largest_size_fit(
    limit: int, largest: int | None, wide: int
) -> None:
    assert width(limit, largest) == wide


async def entered(window: Window) -> int:
    """How many more messages get in now."""
    count = 0
    while not window.is_full:
        await window.enter()
        count += 1
    return count


async def test_it_widens_when_the_first_answer_was_small_and_narrows_when_one_is_large() -> None:
    window = Window(limit=100)
    assert await entered(window) == UNKNOWN
    window.made(10)
    assert await entered(window) == 100 - UNKNOWN
    window.made(ANSWER_BYTES // 2)
    for _ in range(99):
        window.leave()
    assert await entered(window) == 1
    window.made(10)  # smaller ones prove nothing
    assert window.is_full


async def test_who_waits_gets_in_when_a_message_leaves_or_the_window_widens() -> None:
    for moves in (Window.leave, lambda window: window.made(1)):
        window = Window(limit=UNKNOWN + 1)
        await entered(window)
        waiting = asyncio.create_task(window.enter())
        await asyncio.sleep(0)
        assert not waiting.done()
        moves(window)
        await waiting


async def test_while_all_streams_hold_too_much_each_has_one_message_under_way() -> None:
    unread = Unread()
    greedy, modest = Window(100, unread), Window(100, unread)
    greedy.made(1)
    assert await entered(greedy) == 100
    for _ in range(100):
        greedy.made(ALL_ANSWER_BYTES // 90)
    assert await entered(modest) == 1
    modest.leave()
    assert await entered(modest) == 1
    greedy.close()
    assert unread.size == 0
    modest.made(1)
    assert await entered(modest) == 99


async def test_who_waits_for_others_gets_in_when_they_leave_though_nothing_of_its_own_is_read() -> (
    None
):
    unread = Unread()
    gone, waiting = Window(100, unread), Window(100, unread)
    gone.made(ALL_ANSWER_BYTES + 1)
    assert await entered(waiting) == 1
    second = asyncio.create_task(waiting.enter())
    await asyncio.sleep(0)
    assert not second.done()
    gone.close()
    await second
    assert not unread.held_back


async def test_who_waits_and_leaves_is_forgotten() -> None:
    unread = Unread()
    window = Window(1, unread)
    await window.enter()
    waiting = asyncio.create_task(window.enter())
    await asyncio.sleep(0)
    assert unread.held_back == {window}
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not unread.held_back


async def test_what_was_written_counts_no_more() -> None:
    unread = Unread()
    window = Window(10, unread)
    await entered(window)
    window.made(500)
    window.made(70)
    window.leave(500)
    assert unread.size == 70
    window.close()
    assert unread.size == 0
