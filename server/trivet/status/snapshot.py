"""One look at the server for the page: states as JSON, counters as `Counts`. Takes them in the
event loop, which owns them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

from trivet.errors import Code
from trivet.frontend.text_tasks.offers import tasks_of
from trivet.model.model import Model
from trivet.repository.registry import IndexEntry
from trivet.status.figures import NOTHING, STAGES, Counts
from trivet.status.sources import Sources
from trivet.telemetry.calls import Kind

_NO_COUNTS = NOTHING.stages["queue"]
_NO_FAILURE = (Code.OK, Code.CANCELLED)


class States:
    """The server and every version that is known, with its state and the reason for it."""

    def __init__(self, sources: Sources, playground: bool) -> None:
        self._sources = sources
        self._playground = playground
        self._version = version("trivet")
        self._tasks: WeakKeyDictionary[Model, list[str]] = WeakKeyDictionary()  # never change

    def look(self) -> dict[str, Any]:
        sources = self._sources
        models = {(model.config.name, model.version): model for model in sources.registry.models()}
        return {
            "server": {
                "version": self._version,
                "ready": sources.is_ready,
                "started": sources.started.is_set(),
                "leaving": sources.registry.is_leaving,
                "playground": self._playground,
            },
            "models": [
                self._shown(entry, models.get((entry.name, entry.version)))
                for entry in sources.registry.index()
            ],
        }

    def _shown(self, entry: IndexEntry, model: Model | None) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "name": entry.name,
            "version": entry.version,
            "state": entry.state.value,
            "reason": entry.reason,
        }
        if model is None:
            return shown
        return {
            **shown,
            "kind": "pipeline" if model.config.is_pipeline else model.config.backend,
            "tasks": self._tasks_of(model),
            "instances": sum(post.vacancy is None for post in model.posts),
            "memory_bytes": model.statistics.memory_bytes,
        }

    def _tasks_of(self, model: Model) -> list[str]:
        if (known := self._tasks.get(model)) is None:
            known = self._tasks[model] = tasks_of(model.config)
        return known


def failures_of(sources: Sources) -> list[dict[str, Any]]:
    """What callers were told last, the latest first."""
    return [
        {
            "task": failure.task,
            "code": failure.code.name,
            "message": failure.message,
            "count": failure.count,
            "last_ms": failure.last_ms,
        }
        for failure in sources.calls.recent
    ]


def counts_of(model: Model, now_ns: int, before: Counts = NOTHING) -> Counts:
    """What a version has counted since its load; `before` itself if nothing has come to that.

    Most of a thousand models rest: one that does costs a look at four numbers.
    """
    counted, histograms = model.statistics, model.statistics.histograms
    busy_ns = sum(post.busy_ns(now_ns) for post in model.posts)
    if (counted.success.count, counted.fail.count, counted.tokens, busy_ns) == (
        *(before.answered, before.failed, before.tokens, before.busy_ns),
    ):
        return before
    batches = [(rows, durations.compute_infer.count) for rows, durations in counted.batches.items()]
    return Counts(
        answered=counted.success.count,
        failed=counted.fail.count,
        batches=sum(count for _, count in batches),
        rows=sum(rows * count for rows, count in batches),
        tokens=counted.tokens,
        padding=counted.padding_tokens,
        busy_ns=busy_ns,
        stages={
            "request": tuple(histograms.request.counts),
            "queue": tuple(histograms.queue.counts),
            "input": tuple(histograms.compute_input.counts),
            "infer": tuple(histograms.compute_infer.counts),
            "output": tuple(histograms.compute_output.counts),
        },
    )


def calls_of(kinds: Iterable[Kind]) -> Counts:
    """What callers of all tasks asked; `request` is the time from bytes to bytes."""
    answered = failed = 0
    took = [0] * len(_NO_COUNTS)
    for kind in kinds:
        answered += kind.codes[Code.OK]
        failed += sum(kind.codes) - sum(kind.codes[code] for code in _NO_FAILURE)
        took = [one + more for one, more in zip(took, kind.took.counts, strict=True)]
    stages = {stage: took if stage == "request" else _NO_COUNTS for stage in STAGES}
    return Counts(answered=answered, failed=failed, stages=stages)
