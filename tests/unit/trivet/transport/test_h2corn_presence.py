"""Whether a caller is still there, as the kernel knows it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from trivet.transport.h2corn.presence import HUNG_UP, Presence


@contextmanager
def connected(family: socket.AddressFamily, at: str, to: str) -> Iterator[socket.socket]:
    """A caller's end; the other is accepted by this process."""
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind((at, 0))
        except OSError:
            pytest.skip("needs IPv6")
        listener.listen()
        with socket.create_connection((to, listener.getsockname()[1])) as caller:
            accepted, _ = listener.accept()
            with accepted:
                yield caller


@contextmanager
def watched(peer: Any) -> Iterator[asyncio.Task[bool]]:
    """A call from this peer, which waits for ever."""
    call = asyncio.create_task(asyncio.Event().wait())
    Presence(look_s=0.01).cancel_when_gone(call, (str(peer[0]), int(peer[1])))
    try:
        yield call
    finally:
        call.cancel()


@pytest.mark.parametrize(
    ("family", "at", "to"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_call_is_cancelled_when_its_caller_hangs_up_and_not_before(
    family: socket.AddressFamily, at: str, to: str, reset: bool
) -> None:
    with connected(family, at, to) as caller, watched(caller.getsockname()) as call:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(call), 0.1)
        assert not call.done()
        if reset:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.close()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await asyncio.wait_for(asyncio.shield(call), 20)
        assert call.cancelled()
        assert cancelled.value.args in ((HUNG_UP,), ())


async def test_who_was_never_there_has_gone() -> None:
    with watched(("127.0.0.1", 1)) as call:
        await asyncio.wait([call], timeout=20)
        assert call.cancelled()


async def test_nobody_watches_a_call_that_is_over() -> None:
    with connected(socket.AF_INET, "127.0.0.1", "127.0.0.1") as caller:
        before = asyncio.all_tasks()
        with watched(caller.getsockname()) as call:
            call.cancel()
            watching = asyncio.all_tasks() - before - {call}
            assert len(watching) == 1
            await asyncio.wait(watching, timeout=20)
        assert asyncio.all_tasks() == before
