"""Cores that batches share: all for one, fewer each the more there are."""

from __future__ import annotations

import pytest

from trivet.backend.cores import Cores, fair_share


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
