"""What whoever publishes and takes out models asks of one that keeps sequences."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trivet.request import InferRequest
from trivet.scheduling.sequences.table import SequenceTable
from trivet.scheduling.sequences.turns import sequence_id


class OpenSequences:
    """The sequences of one load that more requests may join.

    A load that another takes the place of serves them until none is open any more.
    """

    def __init__(self, table: SequenceTable, version: int, changed: Callable[[], None]) -> None:
        """changed: called when sequences were ended from here."""
        self._table = table
        self._version = version
        self._changed = changed
        self._over = asyncio.Event()

    def keeps(self, request: InferRequest) -> bool:
        """Whether the request's sequence is open here, and is the one that the request means.

        Ids are the clients' choice: who asked for version 1 means another sequence than who asked
        for the latest, unless the latest was this version all along.
        """
        sequence = self._table.known(sequence_id(request))
        if sequence is None:
            return False
        return request.version in (sequence.asked, self._version)

    def end(self, request: InferRequest) -> None:
        """The request's sequence has begun anew elsewhere; what waits here is answered yet."""
        self._table.end(sequence_id(request))
        self._changed()

    def end_all(self) -> None:
        """No more requests come; those that wait are answered yet."""
        self._table.end_all()
        self._changed()

    def look(self) -> None:
        """Something changed: tell who waits if no sequence is open any more."""
        if not self._table.is_open:
            self._over.set()

    async def all_over(self) -> None:
        """Return when no sequence is open."""
        while self._table.is_open:
            self._over.clear()
            await self._over.wait()
