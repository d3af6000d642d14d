"""`trivet finetune` as it is typed: what is refused before anything is read or learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.cli import main as trivet
from trivet_backends.workshop.finetune import command

TYPED = ["finetune", "./checkpoint", "--train", "rows.csv", "--output", "out"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--labels", ","], "the list is empty: give labels with commas, at least two"),
        (["--labels", ""], "the list is empty"),
        (["--labels", "a,b,a"], "the label 'a' is there twice; name it once"),
        (["--labels", "a,,b"], "a label is empty; remove a comma"),
        (["--labels", "a"], "is one label: give at least two"),
        (["--validation-share", "1"], "'1': give a number between 0 and 1"),
        (["--learning-rate", "fast"], "'fast': give a number above 0"),
        (["--learning-rate", "nan"], "'nan': give a number above 0"),
        (["--batch-size", "0"], "'0': give a whole number of at least 1"),
        (["--dropout", "1"], "'1': give a number from 0 to below 1"),
        (["--pooling", "max"], "invalid choice: 'max'"),
        (["--name", "mood"], "--name: says something of publishing, which is not asked for"),
    ],
)
def test_wrong_flags_are_refused(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trivet([*TYPED, "--task", "classify", *flags]) == 2
    assert told in capsys.readouterr().err


def test_only_a_classifier_pools(capsys: pytest.CaptureFixture[str]) -> None:
    assert trivet([*TYPED, "--task", "answer", "--pooling", "mean"]) == 2
    assert "--pooling: answer pools nothing; leave it out" in capsys.readouterr().err


def test_without_its_packages_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ("torch", "accelerate")
    monkeypatch.setattr(command, "find_spec", lambda name: None if name in missing else object())
    assert trivet([*TYPED, "--task", "classify", "--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "torch, accelerate not installed" in told
    assert "pip install 'trivet[server,workshop,finetune]'" in told
    assert not (tmp_path / "out").exists()
