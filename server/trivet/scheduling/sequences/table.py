"""Which sequences there are, where each has its place, and which wait for one. No clock, no loop.

An instance has a number of places: the rows of a batch (direct), or the candidates from which
batches are made (oldest). A sequence keeps its place from its first request until it is over: its
last request was answered, it was idle for too long, or a caller left a request of it unanswered.
Sequences that find no place wait for one, in turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from trivet.errors import Code, InvalidInput, ServeError, Unavailable
from trivet.scheduling.sequences.turns import Place, SequenceId, Tracked, Turn


class SequenceCancelled(ServeError):
    """A request whose sequence ended because another request of it was given up."""

    code = Code.CANCELLED


@dataclass(frozen=True, slots=True)
class _Lost:
    """Why a sequence ended with its instance, and when."""

    reason: str
    since_ns: int


class SequenceTable:
    """The sequences of one model version."""

    def __init__(self, model: str, instances: int, places: int, max_idle_us: int) -> None:
        """places: sequences under way on each instance."""
        self._model = model
        self._max_idle_us = max_idle_us
        self._known: dict[SequenceId, Tracked] = {}  # those that more requests may join
        self._placed: list[list[Tracked | None]] = [[None] * places for _ in range(instances)]
        # A heap: the lowest place first, so that sequences spread over the instances.
        self._free = sorted(
            (place, number) for number in range(instances) for place in range(places)
        )
        self._backlog: OrderedDict[Tracked, None] = OrderedDict()  # in turn
        self._away: set[int] = set()  # instances that are being replaced
        self._lost: dict[SequenceId, _Lost] = {}  # those that ended with their instance

    @property
    def waiting(self) -> int:
        """Requests that wait at their sequences' places."""
        return sum(len(s.waiting) for places in self._placed for s in places if s is not None)

    @property
    def pending(self) -> int:
        """Requests that wait there, or with their sequences for a place."""
        return self.waiting + sum(len(sequence.waiting) for sequence in self._backlog)

    @property
    def is_open(self) -> bool:
        """Whether more requests may join a sequence."""
        return bool(self._known)

    def known(self, number: SequenceId) -> Tracked | None:
        """The sequence of this id that more requests may join."""
        return self._known.get(number)

    def placed(self, instance: int) -> Sequence[Tracked | None]:
        """What is at each place of an instance."""
        return self._placed[instance]

    def put(self, turn: Turn) -> None:
        """Add a request to its sequence.

        Raises InvalidInput for one of a sequence that is not under way and that does not start one,
        Unavailable for one of a sequence that ended with its instance.
        One that starts a sequence under way ends the previous one, whose requests are answered yet.
        """
        sequence = self._known.get(turn.id)
        if sequence is None:
            if (lost := self._lost.pop(turn.id, None)) and not turn.starts:
                self._lost[turn.id] = lost
                raise self.lost(turn.id, lost.reason)
            if not turn.starts:
                raise InvalidInput(
                    f"inference request for sequence {turn.id} to model '{self._model}' must"
                    " specify the START flag on the first request of the sequence; there is"
                    " none of this id under way (one without a request for"
                    f" {self._max_idle_us} us is given up); set sequence_start"
                )
            sequence = self._known[turn.id] = Tracked(turn.id, turn.queued_ns)
            if self._free:
                self._settle_at(sequence, heappop(self._free))
            else:
                self._backlog[sequence] = None
        if turn.starts:
            sequence.asked = turn.request.version
        sequence.touched_ns = turn.queued_ns
        sequence.waiting.append(turn)
        turn.sequence = sequence
        if turn.ends:
            self._forget(sequence)

    def take(self, instance: int, places: Iterable[int]) -> list[Tracked]:
        """Let the heads at these places run."""
        taken = []
        for place in places:
            sequence = self._placed[instance][place]
            assert sequence is not None
            sequence.running = sequence.waiting.popleft()
            taken.append(sequence)
        return taken

    def done(self, sequence: Tracked, now_ns: int) -> None:
        """The running request was answered, one way or the other."""
        sequence.running = None
        sequence.touched_ns = now_ns
        self._leave_if_over(sequence)

    def cancel(self, turn: Turn) -> None:
        """A caller left. If its request still waits, the sequence has a gap and ends with it.

        What runs already runs on: the model has made its step, and the next request may follow.
        """
        sequence = turn.sequence
        if sequence is None or turn not in sequence.waiting:
            return
        sequence.waiting.remove(turn)
        self._end(
            sequence,
            SequenceCancelled(
                f"model '{self._model}': a request of sequence {turn.id} before this one was"
                " cancelled, which ended the sequence; start it again with sequence_start"
            ),
        )

    def end(self, number: SequenceId) -> None:
        """No more requests join this sequence; what waits is answered yet."""
        if sequence := self._known.get(number):
            self._forget(sequence)
            self._leave_if_over(sequence)

    def end_all(self) -> None:
        """The same of every sequence."""
        for number in list(self._known):
            self.end(number)

    def lose(self, instance: int, reason: str, now_ns: int) -> None:
        """An instance died, and its sequences with it; their places wait for the next.

        What waits for a place waits on.
        """
        self._away.add(instance)
        self._free = [free for free in self._free if free[1] != instance]
        heapify(self._free)
        for sequence in [s for s in self._placed[instance] if s is not None]:
            if not sequence.over:  # the next of its requests is told, too
                self._lost[sequence.id] = _Lost(reason, now_ns)
            self._end(sequence, self.lost(sequence.id, reason))

    def regain(self, instance: int) -> None:
        """There is a new instance: its places are free."""
        self._away.discard(instance)
        for place in range(len(self._placed[instance])):
            self._vacate((place, instance))

    def refuse(self, error: ServeError) -> None:
        """Answer everything with an error that waits for a place."""
        for sequence in list(self._backlog):
            self._end(sequence, error)

    def lost(self, number: SequenceId, reason: str) -> Unavailable:
        """What the requests of a sequence are told that ended with its instance."""
        return Unavailable(
            f"model '{self._model}': the instance that kept sequence {number} died: {reason};"
            " start the sequence again with sequence_start"
        )

    def expire(self, now_ns: int) -> int | None:
        """End what was idle or waited for its place for too long.

        Returns when to look again, or None if nothing under way can become due.
        """
        due = []
        idle_ns = self._max_idle_us * 1_000
        for number in [n for n, lost in self._lost.items() if lost.since_ns + idle_ns <= now_ns]:
            del self._lost[number]
        for sequence in self._all():
            if sequence.place is None:
                expires = [turn.expires_ns for turn in sequence.waiting if turn.expires_ns]
                if expires and min(expires) <= now_ns:
                    self._end(sequence, self._too_late(sequence.id))
                elif expires:
                    due.append(min(expires))
                continue
            if not sequence.idle:
                due.append(now_ns + idle_ns)
            elif sequence.touched_ns + idle_ns <= now_ns:
                self._forget(sequence)
                self._leave_if_over(sequence)
            else:
                due.append(sequence.touched_ns + idle_ns)
        # A sequence that took a place which became free just now is not idle before its time.
        if self._known and not due:
            due.append(now_ns + self._max_idle_us * 1_000)
        return min(due, default=None)

    def close(self) -> None:
        """Refuse all that waits."""
        for sequence in self._all():
            self._end(sequence, self.gone())

    def gone(self) -> Unavailable:
        """What the requests are told that are unanswered when the model is closed."""
        return Unavailable(f"model '{self._model}' is being unloaded; start the sequence again")

    def _all(self) -> list[Tracked]:
        placed = [s for places in self._placed for s in places if s is not None]
        return placed + list(self._backlog)

    def _too_late(self, number: SequenceId) -> Unavailable:
        return Unavailable(
            f"model '{self._model}': timeout of the corresponding sequence has been expired:"
            f" sequence {number} waited for its place among those under way for longer than its"
            " 'timeout' parameter allows; retry later"
        )

    def _end(self, sequence: Tracked, error: ServeError) -> None:
        """Answer all requests that wait with an error; the sequence takes no more."""
        for turn in sequence.waiting:
            turn.reject(error)
        sequence.waiting.clear()
        self._forget(sequence)
        self._backlog.pop(sequence, None)
        self._leave_if_over(sequence)

    def _forget(self, sequence: Tracked) -> None:
        """No more requests may join; the id is free for a new sequence."""
        sequence.over = True
        if self._known.get(sequence.id) is sequence:
            del self._known[sequence.id]

    def _leave_if_over(self, sequence: Tracked) -> None:
        if sequence.place is None or not (sequence.over and sequence.idle):
            return
        place, sequence.place = sequence.place, None
        number, instance = place
        self._placed[instance][number] = None
        if instance not in self._away:
            self._vacate(place)

    def _vacate(self, place: Place) -> None:
        """Give a place to whoever waits for one."""
        if self._backlog:
            self._settle_at(self._backlog.popitem(last=False)[0], place)
        else:
            heappush(self._free, place)

    def _settle_at(self, sequence: Tracked, place: Place) -> None:
        sequence.place = place
        number, instance = place
        self._placed[instance][number] = sequence
