"""Where OpenVINO is not installed, its part of `make bench` is left out by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import eight_bit
from tests.bench.setting import Setting


@pytest.mark.parametrize(
    ("attribute", "found", "named"),
    [
        ("find_spec", lambda name: None, "package 'openvino'"),
        ("entry_points", lambda group: (), "backend 'openvino'"),
    ],
)
def test_what_is_missing_is_told_under_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, attribute: str, found: object, named: str
) -> None:
    monkeypatch.setattr(eight_bit, attribute, found)
    setting = Setting(subjects=(), count=1, rounds=1, scratch=tmp_path)
    assert eight_bit.rows(setting) == []
    assert setting.notes == [f"left out: 8-bit weights on OpenVINO, as there is no {named}"]
