"""Training from end to end, on tiny random checkpoints: every task, frozen and not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.harness.finetune import (
    needs_finetune,
    trained,
    write_asked,
    write_labelled,
    write_tagged,
)
from tests.unit.workshop.checkpoints import Recipe, write_checkpoint
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.finetune import metrics
from trivet_backends.workshop.options import Task

pytestmark = needs_finetune

Run = Callable[..., Path]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder with a masked language model's head."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", Recipe())


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path) -> Run:
    """Train in this process; returns the output folder."""

    def run(task: str, rows: Path, *flags: str, output: str = "out", status: int = 0) -> Path:
        folder = tmp_path / output
        assert trained(*line_of(checkpoint, task, rows, folder, *flags)) == status
        return folder

    return run


def line_of(checkpoint: Path, task: str, rows: Path, output: Path, *flags: str) -> list[str]:
    places = [
        "--train",
        str(rows),
        "--output",
        str(output),
        "--cache",
        str(output.parent / "cache"),
    ]
    return [str(checkpoint), "--task", task, *places, *flags]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return dict(load_file(folder / "checkpoint" / "model.safetensors"))


def furthest(one: Path, other: Path) -> float:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)


def published(out: str) -> dict[str, list[str]]:
    """The lines of the last table, by their first word."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}


def validations(folder: Path) -> list[dict[str, Any]]:
    lines = metrics.read_lines(folder / "metrics.jsonl")
    return [line for line in lines if line.pop("kind") == "validation"]


@pytest.mark.slow
def test_a_head_on_a_frozen_encoder(
    run: Run, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It learns, tells of it, leaves the encoder as it was, and computes features once."""
    rows = write_labelled(tmp_path / "rows.csv", 200)
    models = tmp_path / "models"
    flags = ["--pooling=mean", "--epochs=6", "--learning-rate=0.005", "--patience=0"]
    out = run("classify", rows, *flags, f"--model-repository={models}", "--name=mood")
    told = capsys.readouterr()
    assert "labels: high 90 (50%), low 90 (50%)" in told.err
    assert validations(out)[-1]["accuracy"] > 0.9
    mode = (out / "checkpoint" / "model.safetensors").stat().st_mode
    assert mode & 0o044 == 0o044, "a server of another user may not read it"
    assert (out / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "learning-curve.svg").read_text()
    assert published(told.out)["mood"] == ["1", "published"]
    assert published(told.out)["classify"] == ["1", "published"]

    read = read_checkpoint(out / "checkpoint", Task.CLASSIFY)
    assert read.config.layers == 3, "the mean is one more layer"
    trained, before = read.weights(), read_checkpoint(checkpoint).weights()
    encoder = [name for name in before if not name.startswith("cls.")]
    assert all(np.array_equal(trained[name], before[name]) for name in encoder)

    capsys.readouterr()
    flipped = [f"--model-repository={models}", "--name=mood", "--labels=low,high"]
    run("classify", rows, *flipped, output="flipped", status=2)
    assert "models/mood: is served with the labels high, low" in capsys.readouterr().err

    (features, more) = sorted((tmp_path / "cache").iterdir())
    stamps = [(folder / "features.npy").stat().st_mtime_ns for folder in (features, more)]
    again = run("classify", rows, *flags, "--seed=0", "--dropout=0.2", output="again")
    assert [(at / "features.npy").stat().st_mtime_ns for at in (features, more)] == stamps
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert furthest(out, again) > 0

    capsys.readouterr()
    flags = [f"--model-repository={models}", "--name=mood", "--pooling=mean", "--epochs=2"]
    worse = run("classify", rows, *flags, "--min-score=1.01", output="third", status=2)
    assert "accuracy is " in capsys.readouterr().err
    assert (worse / "checkpoint" / "model.safetensors").is_file()
    run("classify", rows, *flags, "--resume", output="third")
    assert published(capsys.readouterr().out)["mood"] == ["2", "published"]
    assert sorted(path.name for path in (models / "mood").iterdir()) == ["1", "2", "config.pbtxt"]


@pytest.mark.parametrize("freeze", ["--freeze", "--unfreeze"])
@pytest.mark.parametrize("task", ["tag_tokens", "answer", "fill_mask"])
def test_every_other_head(run: Run, tmp_path: Path, task: str, freeze: str) -> None:
    """What is written is read back and compared by the run itself; here it is seen to learn."""
    makers = {"tag_tokens": ("conll", write_tagged), "answer": ("jsonl", write_asked)}
    ending, write = makers.get(task, ("csv", write_labelled))
    rows = write(tmp_path / f"rows.{ending}", 120)
    rates = ["--learning-rate=0.01", "--encoder-learning-rate=0.003", "--epochs=4"]
    out = run(
        task,
        rows,
        freeze,
        *rates,
        "--layers=1",
        "--dropout=0",
        "--patience=0",
        "--evaluate-every=4",
    )
    lines = validations(out)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert (out / "checkpoint" / "tokenizer.json").is_file()


def test_accumulated_batches_are_one_large_batch(run: Run, tmp_path: Path) -> None:
    rows = write_tagged(tmp_path / "rows.conll", 64)
    same = ["--unfreeze", "--epochs=1", "--dropout=0", "--validation-share=0.25"]
    no_dropout = self_contained(tmp_path)
    command = line_of(no_dropout, "tag_tokens", rows, tmp_path / "large", *same)
    assert trained(*command, "--batch-size=64") == 0
    command = line_of(no_dropout, "tag_tokens", rows, tmp_path / "small", *same)
    assert trained(*command, "--batch-size=8", "--gradient-accumulation=8") == 0
    assert furthest(tmp_path / "large", tmp_path / "small") < 1e-5


def self_contained(tmp_path: Path) -> Path:
    """A checkpoint without dropout, whose result depends on the rows alone."""
    keys = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return write_checkpoint(tmp_path / "still", Recipe(keys=keys))


def test_bf16_learns_too(run: Run, tmp_path: Path) -> None:
    rows = write_labelled(tmp_path / "rows.csv", 120)
    flags = ["--unfreeze", "--pooling=mean", "--encoder-learning-rate=0.002"]
    out = run("classify", rows, *flags, "--mixed-precision=bf16", "--epochs=4")
    assert max(line["accuracy"] for line in validations(out)) > 0.8
    assert {array.dtype for array in weights(out).values()} == {np.dtype(np.float32)}


def test_it_ends_early_when_nothing_gets_better(run: Run, tmp_path: Path) -> None:
    rows = write_labelled(tmp_path / "rows.csv", 40)
    out = run("classify", rows, "--learning-rate=1e-30", "--patience=2", "--epochs=50")
    assert len(validations(out)) == 3


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_weights(
    run: Run, tmp_path: Path, checkpoint: Path
) -> None:
    """kill -9 in the middle; dropout, order and optimizer go on as if nothing had been."""
    rows = write_labelled(tmp_path / "rows.csv", 96)
    flags = ["--unfreeze", "--epochs=8", "--batch-size=8", "--evaluate-every=7", "--patience=0"]
    flags += ["--checkpoint-every=5"]
    killed = line_of(checkpoint, "classify", rows, tmp_path / "killed", *flags)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "trivet", "finetune", *killed, "--max-tokens=40", "--cpu"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("step 21:"):
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL
    (tmp_path / "killed" / "states" / ".step-999").mkdir()  # a checkpoint that was cut short
    resumed = run("classify", rows, *flags, "--resume", output="killed")
    whole = run("classify", rows, *flags, output="whole")
    assert furthest(whole, resumed) == 0
    told = [metrics.read_lines(folder / "metrics.jsonl") for folder in (whole, resumed)]
    for one, other in zip(*told, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


@pytest.mark.slow
def test_two_processes_learn_what_one_does(run: Run, tmp_path: Path) -> None:
    still, rows = self_contained(tmp_path), write_tagged(tmp_path / "rows.conll", 40)
    flags = ["--unfreeze", "--epochs=2", "--dropout=0", "--batch-size=7", "--evaluate-every=2"]
    flags += ["--gradient-accumulation=2"]
    assert trained(*line_of(still, "tag_tokens", rows, tmp_path / "one", *flags)) == 0
    pair = line_of(still, "tag_tokens", rows, tmp_path / "two", *flags, "--processes=2")
    assert trained(*pair) == 0
    assert furthest(tmp_path / "one", tmp_path / "two") < 1e-4
    one, two = (validations(tmp_path / name) for name in ("one", "two"))
    for ours, theirs in zip(one, two, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_a_run_is_resumed_with_what_it_began_with(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_labelled(tmp_path / "rows.csv", 40)
    out = run("classify", rows, "--epochs=1")
    run("classify", rows, "--epochs=1", status=2)
    assert "holds a run already; go on with --resume" in capsys.readouterr().err
    run("classify", rows, "--epochs=2", "--resume", status=2)
    assert "--resume: epochs: is 2, and was 1 when the run began" in capsys.readouterr().err
    write_labelled(rows, 41)
    run("classify", rows, "--epochs=1", "--resume", status=2)
    assert "--resume: training_sha256" in capsys.readouterr().err
    run("classify", rows, "--resume", output="none", status=2)
    assert "holds no run to resume" in capsys.readouterr().err
    assert len(validations(out)) == 1


def test_rows_that_no_model_can_take_are_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    long = " ".join("abcdefghij" * 4)
    rows.write_text(f'{{"question": "{long}", "passage": "a b", "answer": "a"}}\n' * 12)
    run("answer", rows, status=2)
    assert "rows.jsonl, line 1: the question has 40 tokens" in capsys.readouterr().err
    few = write_labelled(tmp_path / "a.csv", 40)
    run("classify", few, "--layers=3", status=2)
    assert "--layers: 3 are asked for; the encoder has 2 layers" in capsys.readouterr().err
    run("classify", few, "--max-tokens=99", status=2)
    told = capsys.readouterr().err
    assert "--max-tokens: 99 are asked for; the model has 48 positions" in told
    assert "128" not in told, "what was not asked for is no error"
    assert not (tmp_path / "out").exists()
    run("classify", few, output=few.name, status=2)
    assert "a.csv: is a file; name a folder" in capsys.readouterr().err


def test_what_is_learned_needs_its_packages(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_labelled(tmp_path / "rows.csv", 40)
    run("classify", rows, "--mixed-precision=fp16", status=2)
    assert "fp16: needs a GPU; use --mixed-precision bf16, or no" in capsys.readouterr().err
