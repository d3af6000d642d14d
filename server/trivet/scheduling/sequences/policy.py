"""Which sequences' next requests leave as a batch, and when: pure functions, like `policy`.

A sequence has one request at a time that may run, its head; the next waits for its answer. Both
strategies begin with the oldest head, so nobody is passed over for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trivet.config import DirectStrategy, OldestStrategy


class Head(Protocol):
    """What a strategy knows of the request that a sequence would run next."""

    @property
    def queued_ns(self) -> int:
        """When it came, in nanoseconds on the server's clock."""

    @property
    def shape(self) -> object:
        """Equal for requests that may share a batch."""


Heads = Sequence[Head | None]  # one per place of an instance; None: nothing can run there now


@dataclass(frozen=True, slots=True)
class TakeHeads:
    """The heads at these places leave as a batch now, in this order."""

    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing leaves before this time or the next change; None: before the next change."""

    when_ns: int | None


def plan_heads(
    heads: Heads, now_ns: int, strategy: DirectStrategy | OldestStrategy, max_rows: int
) -> TakeHeads | WaitUntil:
    """Decide what an instance that is free now computes next. max_rows: of one batch, from 1 on."""
    if isinstance(strategy, DirectStrategy):
        return _direct(heads, now_ns, strategy)
    return _oldest(heads, now_ns, strategy, max_rows)


def _direct(heads: Heads, now_ns: int, strategy: DirectStrategy) -> TakeHeads | WaitUntil:
    """All that are ready, each in its own row, as long as shapes are those of the oldest."""
    ready = [place for place, head in enumerate(heads) if head is not None]
    if not ready:
        return WaitUntil(None)
    oldest = min(_known(heads[place]).queued_ns for place in ready)
    due_ns = oldest + strategy.max_queue_delay_us * 1_000
    enough = len(ready) >= strategy.minimum_slot_utilization * len(heads)
    if not enough and now_ns < due_ns:
        return WaitUntil(due_ns)
    anchor = next(place for place in ready if _known(heads[place]).queued_ns == oldest)
    shape = _known(heads[anchor]).shape
    return TakeHeads(tuple(place for place in ready if _known(heads[place]).shape == shape))


def _oldest(
    heads: Heads, now_ns: int, strategy: OldestStrategy, max_rows: int
) -> TakeHeads | WaitUntil:
    """The longest run from the oldest on; it ends at the first of another shape.

    As many as the largest preferred size that is there leave at once; else a batch that can still
    grow waits.
    """
    ready = [place for place, head in enumerate(heads) if head is not None]
    if not ready:
        return WaitUntil(None)
    ready.sort(key=lambda place: _known(heads[place]).queued_ns)
    first = _known(heads[ready[0]])
    alike = next(
        (n for n, place in enumerate(ready) if _known(heads[place]).shape != first.shape),
        len(ready),
    )
    run = ready[: min(alike, max_rows)]
    preferred = [size for size in strategy.preferred_batch_sizes if size <= len(run)]
    if preferred:
        return TakeHeads(tuple(run[: max(preferred)]))
    due_ns = first.queued_ns + strategy.max_queue_delay_us * 1_000
    complete = len(run) < len(ready) or len(run) == min(max_rows, len(heads))
    return TakeHeads(tuple(run)) if complete or now_ns >= due_ns else WaitUntil(due_ns)


def _known(head: Head | None) -> Head:
    assert head is not None
    return head
