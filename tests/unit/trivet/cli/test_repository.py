"""`trivet check` and `trivet ls` on repositories, sound and faulty."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from trivet.cli import ls, main

pytestmark = pytest.mark.usefixtures("installed")

ENCODER = """
backend: "theirs"
max_batch_size: 8
input { name: "ids" data_type: TYPE_INT64 dims: [ -1 ] }
output { name: "vector" data_type: TYPE_FP32 dims: [ 384 ] }
"""
EMBED = """
platform: "ensemble"
input { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "OUT" data_type: TYPE_FP32 dims: [ 384 ] }
ensemble_scheduling { step {
  model_name: "absent" model_version: -1
  input_map { key: "a" value: "TEXT" } output_map { key: "b" value: "OUT" }
} }
"""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    repository = tmp_path / "sound"
    for version in ("1", "2", "notes"):
        (repository / "encoder" / version).mkdir(parents=True)
    (repository / "encoder" / "config.pbtxt").write_text(ENCODER)
    return repository


@pytest.fixture
def faulty(sound: Path) -> Path:
    """Besides the sound model, three that are not."""
    for name, config in {"embed": EMBED, "wrong": "max_batch_size: -1\nfoo: 1"}.items():
        (sound / name / "1").mkdir(parents=True)
        (sound / name / "config.pbtxt").write_text(config)
    (sound / "bare").mkdir()
    return sound


def test_a_sound_repository_ends_with_0(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(sound)]) == 0
    note, summary = capsys.readouterr().out.splitlines()
    assert note.startswith("note: encoder/notes: passed over")
    assert summary == "1 model: 1 would load (1 version), 0 would not; 0 faults"


def test_all_faults_of_all_models_are_told_at_once(
    faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(faulty)]) == 1
    *faults, note, summary = capsys.readouterr().out.splitlines()
    assert [fault.rpartition("; ")[0] for fault in faults] == [
        "bare: has no version",
        "embed/config.pbtxt: ensemble_scheduling.step[0].model_name: there is no model 'absent'",
        "wrong/config.pbtxt: line 2, column 1: there is no field 'foo' in ModelConfig",
        "wrong/config.pbtxt: max_batch_size: is -1, must be 0 or more",
    ]
    assert note.startswith("note: ")
    assert summary == "4 models: 1 would load (1 version), 3 would not; 4 faults"


def test_check_prints_json(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(faulty)]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["loads"] is False
    assert {model["name"]: model["loads"] for model in content["models"]} == {
        "bare": False,
        "embed": False,
        "encoder": True,
        "wrong": False,
    }
    assert content["models"][3]["faults"][1]["where"] == "wrong/config.pbtxt: max_batch_size"
    assert content["models"][2]["inputs"] == [{"name": "ids", "datatype": "INT64", "dims": [-1]}]


def test_ls_is_a_table(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", str(faulty)]) == 0
    heading, bare, embed, encoder, wrong = capsys.readouterr().out.splitlines()
    assert re.split("  +", heading) == list(ls.HEADINGS)
    assert bare.split()[:4] == ["bare", "?", "-", "no"]
    assert embed.split()[:4] == ["embed", "pipeline", "1", "no"]
    assert encoder == "encoder  theirs    2         yes    ids INT64[-1] -> vector FP32[384]"
    assert "wrong/config.pbtxt: line 2" in wrong


def test_ls_prints_json(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--json", str(sound)]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert (model["kind"], model["versions"], model["available"]) == ("theirs", [2], [1, 2])


@pytest.mark.parametrize("command", ["check", "ls"])
def test_a_repository_that_does_not_exist_is_wrong_use(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path / "absent")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"trivet: error: {tmp_path / 'absent'}: there is no such model")


def test_a_model_left_out_is_a_fault_of_the_repository(
    sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sound / "a:b" / "1").mkdir(parents=True)
    assert main(["check", str(sound)]) == 1
    assert "'a:b' cannot be a model's name" in capsys.readouterr().out
    assert main(["ls", str(sound)]) == 0
    assert "left out: " in capsys.readouterr().out


def test_only_load_imports_the_backends(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sound / "encoder" / "config.pbtxt").write_text(ENCODER.replace("theirs", "lacking"))
    assert main(["check", str(sound)]) == 0
    capsys.readouterr()
    assert main(["check", "--load", str(sound)]) == 1
    assert "pip install 'theirs[huge]'" in capsys.readouterr().out
