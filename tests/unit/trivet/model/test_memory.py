"""Memory that loads took: none of it is counted twice."""

from __future__ import annotations

import pytest

from trivet.model import memory
from trivet.model.memory import MemoryLedger


def test_loads_that_overlap_share_the_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100
    monkeypatch.setattr(memory, "resident_bytes", lambda: now)
    ledger = MemoryLedger()
    first = ledger.begin()
    now = 150
    second = ledger.begin()
    now = 250
    assert first.settle() == 150
    now = 260
    assert second.settle() == 0  # of its 110, 150 were given to the first
    third = ledger.begin()
    now = 300
    assert third.settle() == 40


def test_memory_given_back_is_not_counted_as_less_than_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100
    monkeypatch.setattr(memory, "resident_bytes", lambda: now)
    claim = MemoryLedger().begin()
    now = 50
    assert claim.settle() == 0


def test_the_memory_of_this_process_is_found() -> None:
    before = memory.resident_bytes()
    kept = bytearray(b"x") * (64 << 20)
    assert 60 << 20 < memory.resident_bytes() - before < 80 << 20
    assert kept
