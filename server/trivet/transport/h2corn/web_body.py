"""The messages of a browser's call."""

from __future__ import annotations

from trivet.errors import ResourceExhausted
from trivet.transport.h2corn.body import Messages
from trivet.transport.h2corn.frames import PREFIX_BYTES


class WebMessages(Messages):
    """As others, but a stream is read to its end before its first message is given out.

    Browsers read no answer before they have sent everything: whoever answers meanwhile, and waits
    until that is read, waits for ever. So all messages together are held to the limit of one.
    """

    __slots__ = ()

    async def __anext__(self) -> bytes:
        while not self._ended:
            await self._read()
            if self._frames.unread > self._limit + PREFIX_BYTES:
                raise ResourceExhausted(
                    f"a browser's stream may send {self._limit} bytes in all; send less in one call"
                )
        return await super().__anext__()
