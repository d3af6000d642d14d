"""Windows, inboxes and messages in pieces."""

from __future__ import annotations

import asyncio

import pytest

from trivet.errors import ServeError
from trivet.transport.processes.flow import WINDOW, Inbox, Pieces, Window, cost_of
from trivet.transport.processes.ring import Damaged

SMALL = b"x"
AT_A_TIME = -(-WINDOW // cost_of(SMALL))  # small messages that fit a window


async def test_a_sender_stops_at_the_window_and_goes_on_when_half_of_it_is_used() -> None:
    window, inbox = Window(), Inbox()

    async def send(count: int) -> None:
        for _ in range(count):
            await window.opened()
            window.sent(SMALL)
            inbox.put(SMALL)

    sending = asyncio.create_task(send(3 * AT_A_TIME))
    waited = 0
    for _ in range(3 * AT_A_TIME):
        await asyncio.sleep(0)
        waited += not window.is_open
        message = await inbox.next()
        assert message == SMALL
        if told := inbox.used(message):
            assert told >= WINDOW // 2
            window.taken(told)
    await sending
    assert waited > AT_A_TIME // 2


def test_a_message_of_any_size_may_go_while_the_window_is_open() -> None:
    window, large = Window(), bytes(3 * WINDOW)
    window.sent(large)
    assert not window.is_open
    window.taken(cost_of(large))
    assert window.is_open


def test_more_than_was_sent_cannot_be_taken() -> None:
    with pytest.raises(Damaged):
        Window().taken(1)


async def test_messages_come_before_the_end_and_its_failure() -> None:
    inbox = Inbox()
    inbox.put(SMALL)
    inbox.end(ServeError("broken"))
    inbox.end()
    assert inbox.has_ended
    assert await inbox.next() == SMALL
    with pytest.raises(ServeError, match="broken"):
        await inbox.next()


async def test_who_waits_is_woken_by_the_end() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    inbox.end()
    assert await waiting is None


def test_a_sender_who_keeps_to_no_window_is_damaged() -> None:
    inbox = Inbox()
    with pytest.raises(Damaged, match="window"):
        for _ in range(AT_A_TIME + 1):
            inbox.put(SMALL)


def test_pieces_become_the_message() -> None:
    pieces = Pieces(6, b"ab")
    assert pieces.add(b"cd") is None
    assert pieces.add(b"ef") == b"abcdef"


@pytest.mark.parametrize("piece", [b"too long", b""])
def test_pieces_that_belong_to_no_message_are_damage(piece: bytes) -> None:
    with pytest.raises(Damaged):
        Pieces(6, b"ab").add(piece)
