"""`trivet build` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.cli import main as trivet


def test_a_build_tells_its_steps_and_ends_with_a_table(
    fill_mask_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["build", str(fill_mask_checkpoint), "--model-repository", str(tmp_path)]
    assert trivet([*command, "--name", "m", "--precision", "fp32,int8"]) == 0
    told = capsys.readouterr()
    assert "m_int8: comparing it with plain numpy" in told.err.splitlines()
    lines = [line.split() for line in told.out.splitlines()]
    assert lines[0][:3] == ["MODEL", "VERSION", "PRECISION"]
    assert [line[0] for line in lines[1:]] == [
        "m_tokenizer",
        "m",
        "m_int8",
        "m_candidates",
        "fill_mask",
    ]
    assert lines[2][1:3] == ["1", "fp32"]
    assert lines[2][-1] == "published"

    assert trivet([*command, "--name", "m", "--precision", "fp32,int8"]) == 0
    again = capsys.readouterr()
    assert all(line.endswith("up to date") for line in again.out.splitlines()[1:])
    assert "numpy" not in again.err


def test_every_flag_reaches_the_build(
    embed_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["build", str(embed_checkpoint), "--model-repository", str(tmp_path)]
    flags = ["--task", "embed", "--pooling", "max", "--no-normalize", "--hidden-state"]
    assert trivet([*command, *flags, "--pipeline", "vectors", "--candidates", "3"]) == 0
    assert (tmp_path / "vectors" / "config.pbtxt").exists()
    build_json = (tmp_path / "tiny" / "1" / "build.json").read_text()
    assert '"normalize": false' in build_json
    assert '"hidden_state": true' in build_json
    assert '"pooling": "max"' in build_json


def test_faults_are_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    command = ["build", str(tmp_path / "empty"), "--model-repository", str(tmp_path / "models")]
    assert trivet(command) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 3
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--precision", "fp8"], "'fp8': give fp32, fp16, int8, or several with commas"),
        (["--precision", "fp16,fp16"], "names a precision twice"),
        (["--precision", ""], "give fp32, fp16, int8"),
        (["--candidates", "0"], "'0': give a whole number of at least 1"),
        (["--task", "translate"], "invalid choice: 'translate'"),
        (["--pooling", "sum"], "invalid choice: 'sum'"),
    ],
)
def test_wrong_flags_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    assert trivet(["build", str(tmp_path), "--model-repository", str(tmp_path), *flags]) == 2
    assert told in capsys.readouterr().err


def test_help_explains_the_flags_and_gives_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert trivet(["build", "--help"]) == 0
    told = capsys.readouterr().out
    for word in ("--precision", "--pooling", "--candidates", "default: 100", "examples:", "cosine"):
        assert word in told
