"""What a run keeps on disk so that it can go on exactly where it was, whenever it is killed.

A checkpoint is a folder `step-N`: weights, optimizer and scaler by accelerate, each process's
random state, and Progress. It is written under a hidden name and renamed, so there is none that is
half written; the two newest are kept.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build_file import Json

_PREFIX = "step-"
_KEPT = 2
_PROGRESS = "progress.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is."""

    step: int = 0  # steps that are done
    best_step: int = 0
    best: float | None = None  # score
    best_loss: float = inf  # of equal scores the smaller loss decides
    stale: int = 0  # evaluations since there was a better one
    loss_sum: float = 0.0  # since the last line of metrics, over all processes
    loss_count: int = 0
    seconds: float = 0.0  # of training, evaluation and checkpoints
    is_over: bool = False


def save(accelerator: Any, folder: Path, progress: Progress) -> None:
    """Write a checkpoint into `folder`; every process calls it."""
    target = folder / f"{_PREFIX}{progress.step}"
    scratch = folder / f".{target.name}"
    if accelerator.is_main_process:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(scratch))
    torch.save(torch.get_rng_state(), scratch / _random(accelerator))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (scratch / _PROGRESS).write_text(json.dumps(asdict(progress)), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
        for old in _checkpoints(folder)[:-_KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load(accelerator: Any, folder: Path) -> Progress:
    """Take on the newest checkpoint in `folder`; without one a run begins at its beginning."""
    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return Progress()
    newest = checkpoints[-1]
    accelerator.load_state(str(newest))
    torch.set_rng_state(torch.load(newest / _random(accelerator), weights_only=True))
    return Progress(**json.loads((newest / _PROGRESS).read_text(encoding="utf-8")))


def _random(accelerator: Any) -> str:
    return f"random-{accelerator.process_index}.pt"


def _checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    found = (path for path in folder.glob(f"{_PREFIX}*") if (path / _PROGRESS).is_file())
    return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)))


def begin(folder: Path, decisive: dict[str, Json], *, resume: bool) -> None:
    """Make the folder of a run, or check that the one there is the same run's.

    decisive: all that decides what is learned. Raises InvalidConfig if there is a run and it is not
    to be resumed, if there is none to resume, or if it is another one: with what differs; and if
    `folder` is a file.
    """
    if folder.is_file():
        raise InvalidConfig([Fault(f"--output {folder}", "is a file", "name a folder; it is made")])
    record = folder / "run.json"
    there = _read(record)
    if not resume:
        if there is not None or (folder.exists() and any(folder.iterdir())):
            cure = "go on with --resume, or name another folder with --output"
            raise InvalidConfig([Fault(str(folder), "holds a run already", cure)])
        folder.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(decisive, indent=2) + "\n", encoding="utf-8")
        return
    if there is None:
        cure = "leave --resume out, or name the folder of the run with --output"
        raise InvalidConfig([Fault(str(folder), "holds no run to resume", cure)])
    now = json.loads(json.dumps(decisive))
    faults = [
        Fault(
            f"--resume: {name}",
            f"is {now.get(name)!r}, and was {there.get(name)!r} when the run began",
            "resume with what it began with, or begin another run with --output",
        )
        for name in sorted({*now, *there})
        if now.get(name) != there.get(name)
    ]
    if faults:
        raise InvalidConfig(faults)


def _read(record: Path) -> dict[str, Json] | None:
    try:
        read: dict[str, Json] = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return read
