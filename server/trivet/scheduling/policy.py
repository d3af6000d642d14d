"""Which waiting requests leave as the next batch, and when: pure functions, no clock, no queue.

`plan` is asked whenever an instance is free. The first request, the oldest of the highest level,
is in every batch, so whatever the order, a request at position n of the queue leaves with the n-th
batch at the latest: company is chosen by length, but nobody waits longer than in a queue that
serves one at a time.
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

    @property
    def level(self) -> int:
        """Its priority level: 1 is served first; 0 for a model without levels."""


@dataclass(frozen=True, slots=True)
class Take:
    """These positions of the queue leave as a batch now; the first is always 0."""

    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing leaves before this time or the next arrival; None: before the next arrival."""

    when_ns: int | None


def plan(waiting: Sequence[Waiting], now_ns: int, policy: BatchPolicy) -> Take | WaitUntil:
    """Decide what the instance that is free now computes next.

    waiting: in order of service, by level and then by arrival. A batch of a preferred size or one
    that cannot grow leaves at once; another waits for company until its oldest request has waited
    `max_queue_delay_us`.
    """
    if not waiting:
        return WaitUntil(None)
    joining = companions(waiting, policy)
    due_ns = now_ns
    if policy.max_queue_delay_us:
        oldest_ns = min(waiting[position].queued_ns for position in joining)
        due_ns = oldest_ns + policy.max_queue_delay_us * 1_000
    if policy.preferred_batch_sizes and (now_ns < due_ns or not policy.max_queue_delay_us):
        preferred = preferred_count([waiting[position].rows for position in joining], policy)
        if preferred:
            return Take(tuple(sorted(joining[:preferred])))
    if now_ns >= due_ns or _cannot_grow(joining, waiting, policy):
        return Take(tuple(sorted(joining)))
    return WaitUntil(due_ns)


def _cannot_grow(joining: Sequence[int], waiting: Sequence[Waiting], policy: BatchPolicy) -> bool:
    return (
        len(joining) < len(waiting)
        or sum(waiting[position].rows for position in joining) >= policy.max_batch_size
    )


def preferred_count(rows: Sequence[int], policy: BatchPolicy) -> int:
    """How many of the requests that could leave make a batch of a preferred size; 0: none do.

    rows: of each, in the order they join. As in Triton, the largest preferred size that is met
    exactly counts; a batch that is beyond all of them, or would be with the next request, is as
    good as one.
    """
    largest = max(policy.preferred_batch_sizes)
    best = total = 0
    for count, more in enumerate(rows):
        if count and not best and total + more > largest:
            best = count
        total += more
        if total in policy.preferred_batch_sizes:
            best = count + 1
    return best or (len(rows) if total >= largest else 0)


def companions(waiting: Sequence[Waiting], policy: BatchPolicy) -> tuple[int, ...]:
    """The first request and those that share its batch: positions, in the order they join."""
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
    """The first, and from the window those nearest to its length, as long as they fit.

    One that does not fit is passed over, since a shorter or smaller one further away still may.
    Higher levels choose before lower ones, however near those are.
    """
    anchor = waiting[0]
    rows, longest, tokens = anchor.rows, anchor.length, anchor.rows * anchor.length
    end = min(len(waiting), policy.window)
    nearest = sorted(range(1, end), key=lambda at: abs(waiting[at].length - anchor.length))
    if waiting[end - 1].level != anchor.level:
        nearest.sort(key=lambda at: waiting[at].level)  # stable: nearest first within a level
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
    return tuple(taken)


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
