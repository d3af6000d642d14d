"""The search: successive halving over the candidates, each measured on a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trivet.errors import ServeError
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.tune.ranking import Goal, Measured, Tried, ranked, survivors
from trivet_backends.workshop.tune.space import Candidate, rungs

Measure = Callable[[Candidate], Measured]


def search(
    candidates: Sequence[Candidate], goal: Goal, measure: Measure, announce: Announce
) -> tuple[list[Tried], list[Tried]]:
    """All that was tried with all its runs, and those of the last round.

    Within a round candidates are measured in turn, so that a machine that slows down does so for
    all of them. What cannot be served is out, and its table row says why.
    """
    runs: dict[Candidate, tuple[Measured, ...]] = {}
    racing = list(candidates)
    plan = rungs(len(racing))
    for number, rung in enumerate(plan, 1):
        for repeat in range(rung.repeats):
            for place, candidate in enumerate(racing, 1):
                told = f"round {number} of {len(plan)}, {repeat + 1}/{rung.repeats}"
                announce(f"{told}: {place}/{len(racing)} {candidate}; {_best_so_far(runs, goal)}")
                runs[candidate] = (*runs.get(candidate, ()), _measured(candidate, measure))
        finals = [Tried(candidate=one, runs=runs[one]) for one in racing]
        racing = survivors(finals, goal, rung.kept)
    return [Tried(candidate=one, runs=found) for one, found in runs.items()], finals


def _measured(candidate: Candidate, measure: Measure) -> Measured:
    try:
        return measure(candidate)
    except ServeError as error:
        told = " ".join(error.message.split())[:160]
        return Measured(texts_per_s=0, p50_ms=0, p99_ms=0, errors=told)


def _best_so_far(runs: dict[Candidate, tuple[Measured, ...]], goal: Goal) -> str:
    if not runs:
        return "the first"
    best = ranked([Tried(candidate=one, runs=found) for one, found in runs.items()], goal)[0]
    return f"best {best.candidate} ({best.texts_per_s:.0f} texts/s, p99 {best.p99_ms:.1f} ms)"
