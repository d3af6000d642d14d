"""Writing and checking a format in a process of its own.

A toolchain that crashes ends its own process and no other; what it prints stays out of the display;
its memory is given back; and what was written is read by a process that did not write it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build_file import Json
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.export.source import Source, read_source
from trivet_backends.workshop.options import GraphOptions, Pooling, Task

_RESULT, _INPUTS, _OUTPUTS, _LOG = "result.json", "inputs.npz", "outputs.npz", "log.txt"
# TensorFlow's own words about its build; what it says of a failure comes as an exception.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One format of one checkpoint. `desk` is where this process and its children meet."""

    format: ExportFormat
    checkpoint: Path
    options: GraphOptions
    folder: Path  # what is written
    desk: Path

    @property
    def log(self) -> Path:
        """What the children said."""
        return self.desk / _LOG


def write(job: Job) -> None:
    """Write the format. Raises InvalidConfig, with the child's last words, if it cannot be."""
    _call("write", job)


def run(job: Job, batches: Sequence[Mapping[str, np.ndarray]]) -> list[list[np.ndarray]]:
    """The outputs of every batch, by a process that loads what was written."""
    arrays = {
        f"{i}/{name}": array for i, inputs in enumerate(batches) for name, array in inputs.items()
    }
    np.savez(job.desk / _INPUTS, **arrays)  # type: ignore[arg-type]  # its stubs know no mapping
    _call("run", job)
    with np.load(job.desk / _OUTPUTS) as outputs:
        return _by_batch({name: outputs[name] for name in outputs.files}, len(batches))


def inspect(job: Job) -> float | None:
    """The largest difference of a weight, or None where the format does not tell."""
    result = _call("inspect", job)
    difference = result["difference"]
    return float(difference) if isinstance(difference, int | float) else None


def _call(phase: str, job: Job) -> Mapping[str, Json]:
    """Have a child do it, and read what it left."""
    told = asdict(job) | {
        name: str(getattr(job, name)) for name in ("checkpoint", "folder", "desk")
    }
    result = job.desk / _RESULT
    result.unlink(missing_ok=True)
    command = [sys.executable, "-P", "-m", __name__, phase, json.dumps(told)]
    with job.log.open("ab") as log:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | _ENVIRONMENT,
            check=False,
        )
    if ended.returncode:
        words = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = words[-1].strip() if words else "it said nothing"
        what = f"failed in '{phase}' with exit status {ended.returncode}: {last}"
        raise InvalidConfig([Fault(job.format, what, "nothing was written")])
    read: dict[str, Json] = json.loads(result.read_text(encoding="utf-8"))
    if fault := read.get("fault"):
        raise InvalidConfig([Fault(job.format, str(fault), "nothing was written")])
    return read


def _by_batch(arrays: Mapping[str, np.ndarray], count: int) -> list[list[np.ndarray]]:
    """Arrays named BATCH/NUMBER to a list for each batch, in order."""
    keys = sorted(arrays, key=lambda key: int(key.split("/")[1]))
    return [[arrays[key] for key in keys if key.startswith(f"{i}/")] for i in range(count)]


def main(phase: str, told: str) -> None:
    """What the child does: one phase of one job."""
    job = _job(json.loads(told))
    result: dict[str, Json] = {}
    try:
        match phase:
            case "write":
                WAYS[job.format].write(_source(job), job.folder)
            case "inspect":
                result = {"difference": _inspect(job)}
            case "run":
                _run(job)
    except InvalidConfig as error:
        result = {"fault": str(error)}
    (job.desk / _RESULT).write_text(json.dumps(result), encoding="utf-8")


def _job(told: Mapping[str, Any]) -> Job:
    options = told["options"]
    typed = {"task": Task(options["task"]), "pooling": Pooling(options["pooling"])}
    return Job(
        format=ExportFormat(told["format"]),
        checkpoint=Path(told["checkpoint"]),
        options=GraphOptions(**{**options, **typed}),
        folder=Path(told["folder"]),
        desk=Path(told["desk"]),
    )


def _source(job: Job) -> Source:
    checkpoint = read_checkpoint(job.checkpoint, job.options.task)
    return read_source(checkpoint, job.options)


def _inspect(job: Job) -> float | None:
    look = WAYS[job.format].inspect
    return look(_source(job), job.folder) if look else None


def _run(job: Job) -> None:
    call = WAYS[job.format].run
    assert call is not None, "formats that are inspected are not run"
    with np.load(job.desk / _INPUTS) as stored:
        inputs: dict[str, dict[str, np.ndarray]] = {}
        for key in stored.files:
            batch, _, name = key.partition("/")
            inputs.setdefault(batch, {})[name] = stored[key]
    outputs = {
        f"{batch}/{number}": output
        for batch, arrays in inputs.items()
        for number, output in enumerate(call(job.folder, job.options, arrays))
    }
    np.savez(job.desk / _OUTPUTS, **outputs)  # type: ignore[arg-type]  # its stubs know no mapping


if __name__ == "__main__":
    main(*sys.argv[1:])
