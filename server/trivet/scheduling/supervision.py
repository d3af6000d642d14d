"""What is decided and told when instances die: pure. `instances` acts on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trivet.errors import EngineFailed, InstanceDied

FIRST_PAUSE_NS = 100_000_000
LONGEST_PAUSE_NS = 30_000_000_000

# Attempts to replace an instance after which nobody is kept waiting for it: with the pauses
# between them, one and a half seconds beside what the attempts take.
PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Vacancy:
    """An instance that died and is not replaced yet.

    died: why. attempts: those to replace it that failed. failed: why the last of them did.
    """

    died: str
    attempts: int = 0
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a model's instances are. able: whether requests will be answered. reason: "" if well."""

    able: bool = True
    reason: str = ""


WELL = Condition()


def pause_ns(failures: int) -> int:
    """How long to wait before an instance is made.

    failures: deaths and attempts in a row, with no batch answered in between, before this one.
    """
    if not failures:
        return 0
    return min(FIRST_PAUSE_NS << min(failures - 1, 20), LONGEST_PAUSE_NS)


def condition_of(instances: int, vacancies: Sequence[Vacancy], hung: int = 0) -> Condition:
    """instances: how many there should be. hung: threads that were given up and still run."""
    left = "1 thread hangs" if hung == 1 else f"{hung} threads hang"
    told = f"{left} in the engine" if hung else ""
    if not vacancies:
        return Condition(reason=told)
    worst = max(vacancies, key=lambda vacancy: vacancy.attempts)
    which = "its only instance" if instances == 1 else f"{len(vacancies)} of {instances} instances"
    verb = "are" if instances > 1 and len(vacancies) > 1 else "is"
    reason = f"{which} {verb} being replaced: {worst.died}"
    if worst.attempts:
        attempts = "1 attempt" if worst.attempts == 1 else f"{worst.attempts} attempts"
        reason += f"; {attempts} failed, the last so: {worst.failed}"
    reason += f"; {told}" if told not in reason else ""
    given_up = all(vacancy.attempts >= PATIENCE for vacancy in vacancies)
    return Condition(able=len(vacancies) < instances or not given_up, reason=reason)


def blamed(died: InstanceDied) -> EngineFailed:
    """What a request is told after whose executions two instances died."""
    return EngineFailed(
        f"two instances died while they computed this request, the last so: {died.message};"
        " it is not tried again. Check its inputs"
    )
