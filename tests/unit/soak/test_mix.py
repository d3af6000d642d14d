"""What callers of a soak ask is drawn from its seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from tests.soak.mix import ALWAYS_AWAITED, WEIGHTS, Fate, jobs
from tests.soak.tasks import TASKS


def test_the_same_seed_draws_the_same_jobs_for_each_caller() -> None:
    first, again = (list(islice(jobs(7, 3), 100)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(("seed", "caller"), [(7, 4), (8, 3), (73, 0)])
def test_other_seeds_and_callers_draw_others(seed: int, caller: int) -> None:
    assert list(islice(jobs(seed, caller), 20)) != list(islice(jobs(7, 3), 20))


def test_every_task_and_every_fate_is_drawn() -> None:
    drawn = list(islice(jobs(1, 1), 2000))
    assert {job.task for job in drawn} == set(TASKS)
    assert set(WEIGHTS) == set(TASKS)
    fates = Counter(job.fate for job in drawn)
    assert fates[Fate.AWAITED] > 0.8 * len(drawn)
    assert min(fates[fate] for fate in Fate) > 20


def test_nobody_leaves_what_a_server_would_rightly_keep() -> None:
    fates = {job.fate for job in islice(jobs(2, 2), 2000) if job.task in ALWAYS_AWAITED}
    assert fates == {Fate.AWAITED}
