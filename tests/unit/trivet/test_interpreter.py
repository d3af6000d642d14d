from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from trivet import interpreter


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    interval_s, threshold = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(interval_s)
    gc.set_threshold(*threshold)


def test_calls_under_way_set_off_no_look_for_cycles() -> None:
    interpreter.set_up()
    looks_before = gc.get_stats()[0]["collections"]

    under_way = [[number] for number in range(5_000)]

    assert gc.get_stats()[0]["collections"] <= looks_before + 1
    assert len(under_way) == 5_000


def test_cycles_are_still_looked_for() -> None:
    interpreter.set_up()

    assert gc.isenabled()
    assert all(gc.get_threshold())


def test_a_thread_gives_way_to_the_loop_sooner_than_by_default() -> None:
    interpreter.set_up()

    assert sys.getswitchinterval() < 0.005
