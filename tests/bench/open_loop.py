"""Requests that come when they come: how long they wait at 70 % of saturation, and beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from tests.bench.beside import asked_after, latency_of, recovered_s
from tests.bench.results import Row, at_most
from tests.bench.rivals import LENGTH_AWARE, Rival, bounded, served
from tests.bench.setting import CALLERS, Setting, say
from tests.bench.subjects import PIPELINE, Subject
from trivet_client import Client
from trivet_client.bench.asking import Target
from trivet_client.bench.levels import Bench, Extent
from trivet_client.bench.schedule import ClosedLoop, OpenLoop, Pace
from trivet_client.bench.summary import Latency, Summary
from trivet_client.bench.workers import Workers

AT_A_TIME = 64  # requests let in by the server that is asked for too much
WARM_UP_S = 1.0
# Seconds of each load in a round. A p99 wants some hundred requests.
ALONE_S, SATURATED_S, LOADED_S, OVERLOADED_S = 8.0, 6.0, 12.0, 8.0


@dataclass(frozen=True, slots=True)
class Round:
    """Each load once. Rates are requests per second. health: what it took during the overload.

    recovered_s: from the last request of the overload to answers as quick as one caller's alone.
    """

    alone: Summary
    saturated: Summary
    loaded: Summary
    overloaded: Summary
    health: Latency
    recovered_s: float

    @property
    def limit_ms(self) -> float:
        """What the limit promises the accepted: twice the time that so many take, as nobody waits
        more than twice a fair turn, and the computing itself. The time is by what is answered
        then, since callers who are refused take their share of the cores."""
        waiting_ms = AT_A_TIME / self.overloaded.requests_per_s * 1e3
        return 2 * waiting_ms + _latency(self.alone).p99_ms


def rows(setting: Setting) -> list[Row]:
    """For the first of the subjects: what is measured is the queue."""
    subject = setting.subjects[0]
    with ExitStack() as stack:
        workers = stack.enter_context(Workers(1))
        ours = stack.enter_context(_bench(LENGTH_AWARE, subject, setting))
        full = stack.enter_context(_bench(bounded(AT_A_TIME), subject, setting))
        rounds = [_round(workers, ours, full) for _ in range(setting.times(3))]
    crowded = [each for each in rounds if each.overloaded.failure]
    if len(crowded) < len(rounds):
        setting.notes.append(
            f"{subject.name}, at 150 %: in {len(rounds) - len(crowded)} of {len(rounds)} rounds "
            "nothing was refused, as the machine had become faster; they are left out"
        )
    return [
        Row(
            f"{subject.name}, open loop at 70 % of saturation: p99, of the p99 of one caller alone",
            [_latency(each.loaded).p99_ms / _latency(each.alone).p99_ms for each in rounds],
            at_most(4),
        ),
        *(_overload(subject.name, crowded) if crowded else ()),
    ]


def _overload(name: str, rounds: list[Round]) -> list[Row]:
    refusals = [each.overloaded.failure for each in rounds if each.overloaded.failure]
    return [
        Row(
            f"{name}, at 150 %, {AT_A_TIME} let in: p99 of those, of what the limit promises",
            [_latency(each.overloaded).p99_ms / each.limit_ms for each in rounds],
            at_most(1),
        ),
        Row(f"{name}, at 150 %: refused, %", [_share_refused(each.overloaded) for each in rounds]),
        Row(
            f"{name}, at 150 %: a refusal's median, ms",
            [refusal.p50_ms for refusal in refusals],
            at_most(5),
        ),
        Row(
            f"{name}, at 150 %: a refusal's p99, ms",
            [refusal.p99_ms for refusal in refusals],
            at_most(5),
        ),
        Row(f"{name}, at 150 %: health's median, ms", [each.health.p50_ms for each in rounds]),
        Row(f"{name}, at 150 %: health's p99, ms", [each.health.p99_ms for each in rounds]),
        Row(
            f"{name}, after 150 %: until one caller is answered as quickly as alone, seconds",
            [each.recovered_s for each in rounds],
            at_most(1),
        ),
    ]


def _round(workers: Workers, ours: Bench, full: Bench) -> Round:
    alone = _run(workers, ours, ClosedLoop(1), ALONE_S)
    saturated = _run(workers, ours, ClosedLoop(CALLERS), SATURATED_S)
    rate = saturated.requests_per_s
    loaded = _run(workers, ours, OpenLoop(round(0.7 * rate, 1)), LOADED_S)
    with asked_after(full.target.address) as health_ms:
        overloaded = _run(workers, full, OpenLoop(round(1.5 * rate, 1)), OVERLOADED_S)
    return Round(
        alone=alone,
        saturated=saturated,
        loaded=loaded,
        overloaded=overloaded,
        health=latency_of(health_ms),
        recovered_s=recovered_s(full.target.address, PIPELINE, _latency(alone).p99_ms),
    )


def _run(workers: Workers, bench: Bench, pace: Pace, duration_s: float) -> Summary:
    extent = Extent(warmup_s=WARM_UP_S, duration_s=duration_s, requests=None)
    level = replace(bench, extent=extent).level(workers, pace)
    told, latency = level.summary, _latency(level.summary)
    say(
        f"open loop, {pace}: {told.requests_per_s:.0f}/s, p50 {latency.p50_ms:.1f} ms, "
        f"p99 {latency.p99_ms:.1f} ms, {told.failed} refused; the client was "
        f"{level.client_busy:.0%} of a core busy, and {told.late_p99_ms:.1f} ms late (p99)"
    )
    unexpected = set(told.errors) - {"UNAVAILABLE"}
    if unexpected:
        raise RuntimeError(f"requests failed, and not because a queue was full: {unexpected}")
    return told


def _latency(told: Summary) -> Latency:
    if told.latency is None:
        raise RuntimeError(f"nothing was answered; errors: {dict(told.errors)}")
    return told.latency


def _share_refused(told: Summary) -> float:
    return 100 * told.failed / (told.failed + told.answered)


@contextmanager
def _bench(rival: Rival, subject: Subject, setting: Setting) -> Iterator[Bench]:
    """A server and what it is asked."""
    with (
        served(rival, subject, setting.scratch) as server,
        Client(server.address) as client,
    ):
        yield Bench(
            target=Target(address=server.address, task="embed", model=PIPELINE),
            inputs=[(text,) for text in setting.texts],
            extent=Extent(warmup_s=WARM_UP_S, duration_s=ALONE_S, requests=None),
            seed=0,
            processes=1,
            client=client,
            behind=None,
            server_pid=None,
            baseline=None,
            texts=(),
        )
