"""The slots of one model, waiting for an instance to take them."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from itertools import count

from trivet.clock import Clock
from trivet.config import BatchPolicy, ModelConfig, QueuePolicy, TimeoutAction
from trivet.errors import QueueFull, QueueTimeout, ServeError
from trivet.scheduling.alarm import Alarm
from trivet.scheduling.deadlines import (
    NEVER,
    expired_message,
    expiry_ns,
    has_expired,
    level_of,
)
from trivet.scheduling.policy import Take, WaitUntil, plan
from trivet.scheduling.slot import Slot


class RequestQueue:
    """Bounded, in order of level and arrival; who leaves, and when, is the policies' decision.

    A timeout is answered when it expires, whatever the instances do. Touched from the event loop
    only.
    """

    def __init__(
        self, config: ModelConfig, policy: BatchPolicy, clock: Clock, hold_until: int = 0
    ) -> None:
        """hold_until: nothing is taken before so many requests wait; once, then never again."""
        self._config = config
        self._policy = policy
        self._clock = clock
        self._hold_until = hold_until
        self._slots: list[Slot] = []  # in order of rank
        self._sizes: Counter[int] = Counter()  # requests by level
        self._suspects = 0  # slots that are to be tried alone
        self._arrivals = count()
        self._expiry_ns = NEVER  # no timeout expires before; NEVER: none does
        self._changed = asyncio.Event()
        self._alarm = Alarm(clock, self._on_alarm)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def requests(self) -> int:
        """How many wait; one in parts counts once."""
        return self._sizes.total()

    def put_nowait(self, *slots: Slot) -> None:
        """Queue a request, or its parts. Call from the event loop.

        Raises QueueFull instead of waiting.
        """
        level, policy = 0, self._config.queue_policy
        if self._config.priorities.levels:
            level = level_of(slots[0].request.parameters, self._config.priorities)
            policy = self._policy_of(level)
        if policy.max_size and self._sizes[level] >= policy.max_size:
            raise QueueFull(self._config.name, policy.max_size)
        self._sizes[level] += 1
        for slot in slots:
            slot.level = level
            slot.rank = (level, False, next(self._arrivals))
            self._insert(slot)
        if policy.timeout_us or policy.allow_timeout_override:
            self._watch(slots, policy)
        self._changed.set()

    def put_back(self, slot: Slot) -> None:
        """Queue a slot again that was taken and not answered: where it stood, whatever the bound.

        Its timeout runs on.
        """
        self._sizes[slot.level] += slot.counted
        self._suspects += slot.alone
        self._insert(slot)
        if slot.expires_ns != NEVER:
            self._expire_by(slot.expires_ns)
        self._changed.set()

    def refuse(self, error: ServeError) -> None:
        """Answer everyone who waits with an error."""
        for slot in self._take(tuple(range(len(self._slots)))):
            slot.reject(error)

    def discard(self, slot: Slot) -> None:
        """Take a request out whose caller has left; nothing happens if it has been taken."""
        position = bisect_left(self._slots, slot.rank, key=_rank)
        if position < len(self._slots) and self._slots[position] is slot:
            self._remove(position)

    async def next_batch(self) -> list[Slot]:
        """Wait for the batch that the policy would send now, and take it."""
        while not (positions := self._due()):
            await self._wait_changed()
        return self._take(positions)

    async def wait_due(self) -> None:
        """Wait until the policy would send a batch, and leave it where it is."""
        while not self._due():
            await self._wait_changed()

    def take_due(self) -> list[Slot]:
        """Take the batch that the policy would send now; empty if it would send none."""
        return self._take(self._due())

    def close(self) -> None:
        """Let no timeout expire any more."""
        self._alarm.clear()

    def _due(self) -> tuple[int, ...]:
        """The positions of the batch that would leave now; else the alarm is set for the next."""
        now_ns = self._clock.now_ns()
        self._expire(now_ns)
        if self._suspects:
            return (next(n for n, slot in enumerate(self._slots) if slot.alone),)
        if len(self._slots) < self._hold_until:
            return ()
        self._hold_until = 0
        match plan(self._slots, now_ns, self._policy):
            case Take(positions):
                return positions
            case WaitUntil(when_ns):
                if when_ns is not None:
                    self._alarm.set(when_ns)
                return ()

    def _policy_of(self, level: int) -> QueuePolicy:
        return self._config.priorities.policies.get(level, self._config.queue_policy)

    def _insert(self, slot: Slot) -> None:
        if not self._slots or self._slots[-1].rank < slot.rank:
            self._slots.append(slot)
        else:
            insort(self._slots, slot, key=_rank)

    def _take(self, positions: tuple[int, ...]) -> list[Slot]:
        taken = [self._slots[position] for position in positions]
        for position in reversed(positions):
            self._remove(position)
        return taken

    def _remove(self, position: int) -> None:
        slot = self._slots.pop(position)
        self._sizes[slot.level] -= slot.counted
        self._suspects -= slot.alone

    def _watch(self, slots: tuple[Slot, ...], policy: QueuePolicy) -> None:
        """Note when the timeout of a request expires, and be awake then."""
        expires_ns = expiry_ns(slots[0].queued_ns, slots[0].request.parameters, policy)
        if expires_ns == NEVER:
            return
        for slot in slots:
            slot.expires_ns = expires_ns
        self._expire_by(expires_ns)

    def _expire_by(self, expires_ns: int) -> None:
        """Look for timeouts at this time, if not before."""
        if self._expiry_ns == NEVER or expires_ns < self._expiry_ns:
            self._expiry_ns = expires_ns
        self._alarm.set(expires_ns)

    def _on_alarm(self) -> None:
        """A batch is due, or a timeout expires: the drivers look for the one, this for the other.

        With nobody free no driver would see that a timeout has expired, and its caller would wait.
        """
        self._expire(self._clock.now_ns())
        if self._expiry_ns != NEVER:
            self._alarm.set(self._expiry_ns)
        self._changed.set()

    def _expire(self, now_ns: int) -> None:
        """Reject or delay whoever has waited its timeout."""
        if not has_expired(self._expiry_ns, now_ns):
            return
        for slot in [slot for slot in self._slots if has_expired(slot.expires_ns, now_ns)]:
            self.discard(slot)
            self._expel(slot, now_ns)
        left = [slot.expires_ns for slot in self._slots if slot.expires_ns != NEVER]
        self._expiry_ns = min(left, default=NEVER)

    def _expel(self, slot: Slot, now_ns: int) -> None:
        if self._policy_of(slot.level).timeout_action is TimeoutAction.REJECT:
            waited_us = (now_ns - slot.queued_ns) // 1_000
            allowed_us = (slot.expires_ns - slot.queued_ns) // 1_000
            message = expired_message(self._config.name, waited_us, allowed_us)
            slot.reject(QueueTimeout(message))
            return
        slot.expires_ns = NEVER
        slot.rank = (slot.level, True, next(self._arrivals))
        self._sizes[slot.level] += slot.counted
        self._suspects += slot.alone
        self._insert(slot)

    async def _wait_changed(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _rank(slot: Slot) -> tuple[int, bool, int]:
    return slot.rank
