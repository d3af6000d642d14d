"""`trivet tune` against real servers, on a model whose best settings are known beforehand.

On one transport: what is measured are settings of a model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.harness.openvino_artifacts import needs_openvino
from tests.harness.repositories import add_model, fake_config
from tests.unit.workshop.checkpoints import Recipe, write_checkpoint
from trivet.cli import main as trivet

QUICK = ("--duration", "0.3", "--warmup", "0.1", "--lengths", "fixed:8", "--concurrency", "16")
SPACE = ("--instances", "1", "--max-padding-percent", "25", "--max-batch-tokens", "256")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Every batch takes 20 ms, however large it is: the more tokens may be in it, the better."""
    made = tmp_path / "models"
    sizes = {f"symbols.{name}": "tokens" for name in ("IN", "OUT")}
    config = fake_config(delay_us=20_000, max_batch_tokens=8, max_batch_size=64, **sizes)
    add_model(made, "slow", "# Mine.\n" + config.strip() + "\n")
    return made


def tune(repository: Path, *more: str) -> int:
    return trivet(["tune", "slow", "--model-repository", str(repository), *QUICK, *SPACE, *more])


def test_the_larger_budget_wins_and_is_written_with_its_evidence(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = repository / "slow"
    before = (folder / "config.pbtxt").read_text().splitlines()
    assert tune(repository, "--force") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "SETTINGS"
    assert "256 tokens" in lines[1] and lines[1].endswith("chosen")
    assert lines[-1] == "slow/config.pbtxt is rewritten"
    after = (folder / "config.pbtxt").read_text().splitlines()
    (changed,) = [line for line in before if line not in after]
    assert "max_batch_tokens" in changed
    told = json.loads((folder / "tune.json").read_text())
    assert told["chosen"]["max_batch_tokens"] == 256
    speed = {one["settings"]["max_batch_tokens"]: one["runs"][0] for one in told["tried"]}
    assert speed[256]["texts_per_s"] > 2 * speed[None]["texts_per_s"]
    assert "| SETTINGS | TEXTS/S |" in (folder / "tune.md").read_text()
    assert trivet(["check", str(repository)]) == 0
    assert not [*repository.parent.glob(".trivet-tune-*")]


def test_a_bound_that_nothing_meets_is_told_with_the_closest(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(repository, "--p99-ms", "1") == 1
    out = capsys.readouterr().out
    assert "over the bound" in out
    assert "nothing meets the bound of 1 ms: the closest is" in out
    assert not (repository / "slow" / "tune.json").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--ask", "other"), "--ask other: does not run 'slow'"),
        (("--engine", "openvino"), "cannot be run by another engine"),
        (("--lengths", "fixed:1"), "a length is 3 to 512 tokens"),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    repository: Path, flags: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(repository, *flags) == 2
    assert told in capsys.readouterr().err


def test_at_a_rate_the_soonest_answers_win(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request a batch is 50 a second, of 200 that come; with room for all there is no queue."""
    typed = ["tune", "slow", "--model-repository", str(repository), *SPACE, "--force"]
    typed += ["--rate", "200", "--duration", "0.5", "--warmup", "0.1", "--lengths", "fixed:8"]
    assert trivet(typed) == 0
    assert "256 tokens" in capsys.readouterr().out.splitlines()[1]
    told = json.loads((repository / "slow" / "tune.json").read_text())
    assert told["load"].startswith("200 requests per second")
    late = {one["settings"]["max_batch_tokens"]: one["runs"][0] for one in told["tried"]}
    assert late[None]["p99_ms"] > 2 * late[256]["p99_ms"] > 40


@pytest.mark.slow
@needs_openvino
def test_both_engines_are_measured_where_a_version_has_the_files_of_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, models = (
        write_checkpoint(tmp_path / "tiny", Recipe(head=False)),
        tmp_path / "models",
    )
    for format_, into in (("onnx", models), ("openvino", tmp_path / "other")):
        typed = ["build", str(checkpoint), "--model-repository", str(into), "--to", format_]
        assert trivet([*typed, "--name", "tiny"]) == 0
    for file in ("model.xml", "model.bin"):
        shutil.copyfile(tmp_path / "other" / "tiny" / "1" / file, models / "tiny" / "1" / file)
    typed = ["tune", "tiny", "--model-repository", str(models), *QUICK]
    space = ["--instances", "2", "--max-padding-percent", "25", "--max-batch-tokens", "64"]
    assert trivet([*typed, *space]) == 0
    told = json.loads((models / "tiny" / "tune.json").read_text())
    assert told["asked"] == "embed"
    runs = {one["settings"]["engine"]: one["runs"] for one in told["tried"]}
    assert set(runs) == {None, "onnxruntime", "openvino"}
    assert all(run["texts_per_s"] > 0 and not run["errors"] for of in runs.values() for run in of)
    assert trivet(["check", str(models)]) == 0
    assert "tiny/config.pbtxt" in capsys.readouterr().out


def test_a_model_that_is_not_there_or_does_not_batch_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_model(repository, "alone", fake_config(batching=""))
    for name, told in (("no", "models/no: has no config.pbtxt"), ("alone", "does not batch")):
        assert trivet(["tune", name, "--model-repository", str(repository)]) == 2
        assert told in capsys.readouterr().err
    nowhere = repository / "nowhere"
    assert trivet(["tune", "no", "--model-repository", str(nowhere)]) == 2
    assert "nowhere: is no folder; give the folder of the models" in capsys.readouterr().err
