"""Which waiting requests leave as the next batch, and when: pure functions, no clock, no queue.

`plan` is asked whenever an instance is free. The oldest request is in every batch, so whatever
the order, a request at position n of the queue leaves with the n-th batch at the latest: company
is chosen by length, but nobody waits longer than in a queue that serves one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trivet.config import BatchOrder, BatchPolicy


class Waiting(Protocol):
    """What the policy knows of a waiting request."""

    @property
    def rows(self) -> int:
        """Rows it holds."""

    @property
    def length(self) -> int:
        """Its longest row, in tokens; 0 for a model without a varying dimension."""

    @property
    def shape(self) -> object:
        """Equal for requests that can be stacked without padding."""

    @property
    def queued_ns(self) -> int:
        """When it came, in nanoseconds on the server's clock."""


@dataclass(frozen=True, slots=True)
class Take:
    """These positions of the queue leave as a batch now; the first is always 0, the oldest."""

    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing leaves before this time or the next arrival; None: before the next arrival."""

    when_ns: int | None


def plan(waiting: Sequence[Waiting], now_ns: int, policy: BatchPolicy) -> Take | WaitUntil:
    """Decide what the instance that is free now computes next.

    waiting: in order of arrival. A batch that cannot grow leaves at once; one that could waits for
    company until its oldest request has waited `max_queue_delay_us`.
    """
    if not waiting:
        return WaitUntil(None)
    positions = companions(waiting, policy)
    due_ns = waiting[0].queued_ns + policy.max_queue_delay_us * 1_000
    rows = sum(waiting[position].rows for position in positions)
    complete = (
        len(positions) < len(waiting)
        or rows >= policy.max_batch_size
        or rows in policy.preferred_batch_sizes
    )
    return Take(positions) if complete or now_ns >= due_ns else WaitUntil(due_ns)


def companions(waiting: Sequence[Waiting], policy: BatchPolicy) -> tuple[int, ...]:
    """The oldest request and those that share its batch, as positions in the queue."""
    match policy.order:
        case BatchOrder.LENGTH:
            return _nearest_in_length(waiting, policy)
        case BatchOrder.ARRIVAL:
            return _next_in_line(waiting, policy, equal_shapes=False)
        case BatchOrder.EQUAL_SHAPES:
            return _next_in_line(waiting, policy, equal_shapes=True)


def _next_in_line(
    waiting: Sequence[Waiting], policy: BatchPolicy, *, equal_shapes: bool
) -> tuple[int, ...]:
    """The longest run from the oldest on that fits; it ends at the first that does not."""
    rows, longest = waiting[0].rows, waiting[0].length
    for position in range(1, len(waiting)):
        slot = waiting[position]
        rows, longest = rows + slot.rows, max(longest, slot.length)
        if not _fits(rows, longest, policy) or (equal_shapes and slot.shape != waiting[0].shape):
            return tuple(range(position))
    return tuple(range(len(waiting)))


def _nearest_in_length(waiting: Sequence[Waiting], policy: BatchPolicy) -> tuple[int, ...]:
    """The oldest, and from the window those nearest to its length, as long as they fit.

    One that does not fit is passed over, since a shorter or smaller one further away still may.
    """
    anchor = waiting[0]
    rows, longest, tokens = anchor.rows, anchor.length, anchor.rows * anchor.length
    nearest = sorted(
        range(1, min(len(waiting), policy.window)),
        key=lambda position: abs(waiting[position].length - anchor.length),
    )
    taken = [0]
    for position in nearest:
        slot = waiting[position]
        grown = (
            rows + slot.rows,
            max(longest, slot.length),
            tokens + slot.rows * slot.length,
        )
        if _fits(grown[0], grown[1], policy) and _dense(*grown, policy):
            rows, longest, tokens = grown
            taken.append(position)
    return tuple(sorted(taken))


def _dense(rows: int, longest: int, tokens: int, policy: BatchPolicy) -> bool:
    """Whether little enough of a batch is padding.

    Without this, a few waiting requests of odd lengths would be padded together, which costs an
    engine that is bound by arithmetic more than computing them one after another.
    """
    padded = rows * longest
    return (padded - tokens) * 100 <= padded * policy.max_padding_percent


def _fits(rows: int, longest: int, policy: BatchPolicy) -> bool:
    """Whether a batch of so many rows, padded to the longest, is within its budgets."""
    if rows > policy.max_batch_size:
        return False
    return not policy.max_batch_tokens or rows * longest <= policy.max_batch_tokens
