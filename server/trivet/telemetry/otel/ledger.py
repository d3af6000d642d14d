"""What was sent to a collector and what was lost, by kind of data."""

from __future__ import annotations

import logging

from trivet.telemetry.otel.last_word import LastWord

log = logging.getLogger(__name__)

TRACES, METRICS = OTLP_KINDS = ("traces", "metrics")


class Ledger:
    """Counts, and tells of a loss once until something arrives again.

    `sent` and `failed` belong to the thread that sends, `had_no_room` to the event loop: each
    number has one writer.
    """

    def __init__(self, kind: str, endpoint: str, last_word: LastWord) -> None:
        """kind: one of OTLP_KINDS. last_word: why the SDK says that it failed."""
        self.kind = kind
        self.items_sent = 0
        self._endpoint = endpoint
        self._last_word = last_word
        self._failed = 0
        self._no_room = 0
        self._told_failure = False
        self._told_no_room = False

    @property
    def items_dropped(self) -> int:
        return self._failed + self._no_room

    def sent(self, items: int) -> None:
        self.items_sent += items
        if self._told_failure or self._told_no_room:
            self._told_failure = self._told_no_room = False
            log.info("otlp_sent_again", extra={"kind": self.kind, "dropped": self.items_dropped})

    def failed(self, items: int) -> None:
        """The collector did not take them."""
        self._failed += items
        if not self._told_failure:
            self._told_failure = True
            log.warning("otlp_not_taken", extra=self._extra(why=self._last_word.text))

    def had_no_room(self, items: int) -> None:
        """More came than leaves."""
        self._no_room += items
        if not self._told_no_room:
            self._told_no_room = True
            log.warning("otlp_queue_full", extra=self._extra())

    def _extra(self, **more: str) -> dict[str, str]:
        return {"kind": self.kind, "endpoint": self._endpoint, "then": "dropped", **more}
