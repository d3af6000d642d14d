"""What watchers of the page are sent: one look a second, taken and written once for all of them.

Nothing is looked at while nobody watches. What was seen in the last two minutes is kept, so that
one who comes later, or comes again, sees the same curves.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

from trivet.errors import ResourceExhausted
from trivet.model.model import Model
from trivet.status.figures import NOTHING, STAGES, Counts, figures
from trivet.status.snapshot import States, calls_of, counts_of, failures_of
from trivet.status.sources import Sources

log = logging.getLogger(__name__)

MAX_WATCHERS = 32
KEPT_NS = 120 * 10**9
EVERY_NS = 10**9

# Events that a watcher may be behind. It is one a second: who has not read for so long is gone, or
# reads so slowly that what it shows is of the past.
MAX_BEHIND = 15

# Versions in a sample: the busiest. Two minutes of a thousand would be 30 MB for who comes new.
MAX_TOLD = 200

Event = bytes | None  # None: there are no more


@dataclass(frozen=True, slots=True)
class _Look:
    """What had been counted at a time."""

    at_ns: int
    calls: Counts
    versions: Mapping[Model, Counts]


class Feed:
    """Looks while there are watchers, and tells them all."""

    def __init__(self, sources: Sources, *, playground: bool = True) -> None:
        """playground: whether the page has one."""
        self._sources = sources
        self._states = States(sources, playground)
        self._watchers: set[asyncio.Queue[Event]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._samples: deque[tuple[int, str]] = deque()  # when, and as it was sent
        self._told: dict[str, str] = {}  # by event: what all have been told last

    @contextmanager
    def watcher(self) -> Iterator[asyncio.Queue[Event]]:
        """The events of one more watcher, from what it has to know first.

        Raises ResourceExhausted if there are as many as there may be.
        """
        if len(self._watchers) >= MAX_WATCHERS:
            raise ResourceExhausted(
                f"{MAX_WATCHERS} pages are watching already; close one and try again"
            )
        events: asyncio.Queue[Event] = asyncio.Queue(MAX_BEHIND)
        for name, data in self._known().items():
            events.put_nowait(event(name, data))
        self._watchers.add(events)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on())
        try:
            yield events
        finally:
            self._leave(events)

    def _leave(self, events: asyncio.Queue[Event]) -> None:
        self._watchers.discard(events)
        if not self._watchers and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _known(self) -> dict[str, str]:
        """What somebody new has to know, by event."""
        self._forget(self._sources.clock.now_ns())
        self._tell_changes()
        kept = ",".join(sample for _, sample in self._samples)
        return {**self._told, "history": f"[{kept}]"}

    async def _look_on(self) -> None:
        """Tell of every second until the server is over, or nobody watches any more."""
        try:
            await self._tell_on()
        except Exception as error:
            log.error("page_not_told", exc_info=error)
        self._looking = None
        self._put(None)

    async def _tell_on(self) -> None:
        clock, over = self._sources.clock, asyncio.create_task(self._sources.over.wait())
        try:
            before = self._look({})
            while not over.done():
                tick = asyncio.create_task(clock.sleep_until(before.at_ns + EVERY_NS))
                try:
                    await asyncio.wait((tick, over), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    tick.cancel()
                before = self._tell(before)
        finally:
            over.cancel()

    def _tell(self, before: _Look) -> _Look:
        """Send what happened since the look before, and what has changed."""
        now = self._look(before.versions)
        self._tell_changes()
        sample = _json(self._sample(before, now))
        self._forget(now.at_ns)
        self._samples.append((now.at_ns, sample))
        self._put(event("sample", sample))
        return now

    def _tell_changes(self) -> None:
        """Send what is told only when it differs from the last time."""
        changing = {
            "state": _json(self._states.look()),
            "failures": _json(failures_of(self._sources)),
        }
        for name, data in changing.items():
            if self._told.get(name) != data:
                self._put(event(name, data))
        self._told = changing

    def _put(self, told: Event) -> None:
        for events in tuple(self._watchers):
            if events.full():  # too slow: this one's connection ends
                self._watchers.discard(events)
                events.get_nowait()
                events.put_nowait(None)
            else:
                events.put_nowait(told)

    def _forget(self, now_ns: int) -> None:
        while self._samples and self._samples[0][0] <= now_ns - KEPT_NS:
            self._samples.popleft()

    def _look(self, before: Mapping[Model, Counts]) -> _Look:
        sources = self._sources
        now_ns = sources.clock.now_ns()
        versions = {
            model: counts_of(model, now_ns, before.get(model, NOTHING))
            for model in sources.registry.models()
        }
        return _Look(now_ns, calls_of(sources.calls), versions)

    def _sample(self, before: _Look, now: _Look) -> dict[str, Any]:
        seconds = max(1, now.at_ns - before.at_ns) / 1e9
        # A version that was loaded anew is another model, which begins at nothing.
        passed = {
            model: counts.since(before.versions.get(model, NOTHING))
            for model, counts in now.versions.items()
        }
        return {
            "at_ms": now.at_ns // 1_000_000,
            "all": self._total(now.calls.since(before.calls), passed, seconds),
            "versions": [
                {
                    "name": model.config.name,
                    "version": model.version,
                    **figures(counts, seconds, model.pending, len(model.posts)),
                }
                for model, counts in _busiest(passed)
            ],
        }

    def _total(
        self, calls: Counts, passed: Mapping[Model, Counts], seconds: float
    ) -> dict[str, Any]:
        """Requests as callers asked them; queues and batches as the engines had them. Pipelines
        have none of their own."""
        engines = {model: counts for model, counts in passed.items() if model.posts}
        busy = (counts for counts in engines.values() if counts is not NOTHING)
        computed = reduce(Counts.plus, busy, NOTHING)
        stages = {
            stage: (calls if stage == "request" else computed).stages[stage] for stage in STAGES
        }
        waiting = sum(model.pending for model in engines)
        instances = sum(len(model.posts) for model in engines)
        told = Counts(
            answered=calls.answered,
            failed=calls.failed,
            batches=computed.batches,
            rows=computed.rows,
            tokens=computed.tokens,
            padding=computed.padding,
            busy_ns=computed.busy_ns,
            stages=stages,
        )
        return figures(told, seconds, waiting, instances)


def _busiest(passed: Mapping[Model, Counts]) -> list[tuple[Model, Counts]]:
    """Those that did something or have something to do, up to MAX_TOLD."""
    busy = [(model, c) for model, c in passed.items() if model.pending or not c.is_quiet]
    if len(busy) > MAX_TOLD:
        busy.sort(key=lambda one: one[0].pending + one[1].answered + one[1].failed, reverse=True)
    return busy[:MAX_TOLD]


def event(name: str, data: str) -> bytes:
    """As server-sent events are written; JSON has no line breaks."""
    return f"event: {name}\ndata: {data}\n\n".encode()


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
