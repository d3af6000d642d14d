"""Answers that leave in the order their requests came, whichever instance was quicker."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

Ticket = asyncio.Future[None]  # done when everyone before has left


class Line:
    """Callers in order of arrival; each waits for its turn before it goes with its answer."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[Ticket, None] = OrderedDict()

    def join(self) -> Ticket:
        """Stand at the end of the line. Whoever joins must leave."""
        ticket: Ticket = asyncio.get_running_loop().create_future()
        if not self._tickets:
            ticket.set_result(None)
        self._tickets[ticket] = None
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Go, from wherever in the line; who is first then has its turn."""
        del self._tickets[ticket]
        first = next(iter(self._tickets), None)
        if first is not None and not first.done():
            first.set_result(None)
