"""Cores that batches share: all for one, fewer each the more there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trivet.backend.cores import Cores, fair_share, granted_cores


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 2),  # a third would stand still half of the time
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.max": "what\n"}, 8),
    ],
)
def test_a_containers_limit_counts_as_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], granted: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert granted_cores(tmp_path) == granted


@pytest.mark.parametrize(
    ("cores", "running", "share"),
    [
        (8, 1, 8),
        (8, 2, 4),
        (8, 3, 2),
        (8, 8, 1),
        (8, 9, 1),  # never none
        (1, 1, 1),
        (6, 0, 6),
    ],
)
def test_fair_share(cores: int, running: int, share: int) -> None:
    assert fair_share(cores, running) == share


def test_a_share_is_given_back_however_the_block_ends() -> None:
    cores = Cores(4)
    with cores.share() as first:
        with cores.share() as second:
            assert (first, second) == (4, 2)
        with pytest.raises(RuntimeError, match="boom"), cores.share():
            raise RuntimeError("boom")
        with cores.share() as third:
            assert third == 2
    with cores.share() as alone:
        assert alone == 4
